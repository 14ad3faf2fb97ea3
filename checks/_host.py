"""What host checks share: facts as a recording has them, the GPUs that are used, and the verdict over what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ._contract import Context, Needs, Verdict

GPU = Needs(recording=True, profile="cuda", gpus=1)
SEVERAL = Needs(recording=True, profile="cuda", gpus=2)

_UNKNOWN = {"type": "Missing", "why": "not read", "detail": "this recording does not have it"}


class Unread(Exception):  # noqa: N818 - ends a body, never shown as an error
    """A fact without a value: what nobody could look at does not hold."""


@dataclass(frozen=True)
class Found:
    """What a body saw: what is wrong, and the sentence that is true where nothing is."""

    problems: list[str]
    holds: str
    evidence: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    gpus: tuple[str, ...] = ()  # that were judged, where it is about every one


def judged(look: Callable[[Context], Found]) -> Callable[[Context], Verdict]:
    """A body that fails where something is wrong, and where a fact that it needs could not be read."""

    def body(context: Context) -> Verdict:
        try:
            found = look(context)
        except Unread as unread:
            return Verdict(
                passed=False, summary=str(unread), hint="./setup.sh host shows what could be read and why not"
            )
        if found.problems:
            more = f"; and {len(found.problems) - 3} more" if len(found.problems) > 3 else ""
            said = "; ".join(found.problems[:3]) + more
            evidence = {**found.evidence, "problems": found.problems}
            return Verdict(passed=False, summary=said, evidence=evidence, hint=found.hint, gpus=found.gpus)
        return Verdict(passed=True, summary=found.holds, evidence=found.evidence, gpus=found.gpus)

    return body


def known(facts: dict[str, Any], name: str) -> Any:
    """The fact's value, or None where it has none."""
    value = facts.get(name, _UNKNOWN)
    return None if isinstance(value, dict) and value.get("type") == "Missing" else value


def fact(facts: dict[str, Any], name: str) -> Any:
    """The fact's value; Unread, with the reason, where it has none."""
    if (value := known(facts, name)) is not None:
        return value
    missing = facts.get(name) or _UNKNOWN
    why = ": ".join(word for word in (missing["why"], missing.get("detail", "")) if word)
    raise Unread(f"{name.replace('_', ' ').replace('gpu', 'GPU')} could not be read ({why})")


def used(context: Context, name: str = "gpus") -> list[dict[str, Any]]:
    """The entries of a fact that are about GPUs which are used; of a MIG slice its GPU."""
    wanted = {gpu.partition(":")[0] for gpu in context.gpus}
    found = [entry for entry in fact(context.facts, name) if entry["id"] in wanted]
    if not found:
        raise Unread(f"nothing is known of GPU {', '.join(sorted(wanted))}")
    return found


def told(entries: list[dict[str, Any]], what: str, title: str) -> list[dict[str, Any]]:
    """Those of which a field is known; Unread where it is known of none."""
    known_of = [entry for entry in entries if entry.get(what) is not None]
    if not known_of:
        raise Unread(f"{title} could not be read: no source tells it of these GPUs")
    return known_of


def by_value(entries: list[tuple[str, str]]) -> list[str]:
    """One sentence for all GPUs of which the same is to be said: "GPU 0-3: no persistence mode"."""
    gpus: dict[str, list[str]] = {}
    for gpu, said in entries:
        gpus.setdefault(said, []).append(gpu)
    return [f"GPU {', '.join(_runs(ids))}: {said}" for said, ids in gpus.items()]


def _runs(ids: list[str]) -> list[str]:
    runs: list[list[str]] = []
    for one in ids:
        if runs and one.isdigit() and runs[-1][-1].isdigit() and int(one) == int(runs[-1][-1]) + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return [run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]


def in_container(facts: dict[str, Any]) -> bool:
    return bool((known(facts, "container") or {}).get("engine"))


def integrated(context: Context) -> bool:
    """Whether all GPUs share the memory of their host (Jetson): much of what others have is not there."""
    gpus = known(context.facts, "gpus") or []
    return bool(gpus) and all(gpu["integrated"] for gpu in gpus)
