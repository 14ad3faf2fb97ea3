"""Shared parts of host checks: facts of a recording, the GPUs in use, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from ._contract import Check, Context, Needs, Verdict

GPU = Needs(recording=True, profile="cuda", gpus=1)
SEVERAL = Needs(recording=True, profile="cuda", gpus=2)

_UNKNOWN = {"type": "Missing", "why": "not read", "detail": "this recording does not have it"}
_SHOW_FACTS = "./setup.sh host shows what could be read and why not"


class UnreadableFact(Exception):  # noqa: N818 - ends a body and becomes its verdict
    """A fact without a value. The check fails: a claim about an unknown fact is not proved."""


@dataclass(frozen=True)
class Observation:
    """The problems that a body found, and the sentence that is true if there are none.

    `gpus` lists the GPUs that were judged, for a check about every GPU.
    """

    problems: list[str]
    holds: str
    evidence: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    gpus: tuple[str, ...] = ()


def check(
    look: Callable[[Context], Observation],
    *,
    title: str,
    proves: str,
    weight: Literal["must", "should"],
    needs: Needs = GPU,
) -> Check:
    """Return a check that judges the facts of the host: they are all of step 10, and passive."""
    return Check(
        title=title,
        proves=proves,
        step=10,
        weight=weight,
        on="host",
        profile="passive",
        deadline_s=20,
        needs=needs,
        body=body(look),
    )


def body(look: Callable[[Context], Observation]) -> Callable[[Context], Verdict]:
    return partial(_judge, look)


def _judge(look: Callable[[Context], Observation], context: Context) -> Verdict:
    """Fail if there are problems, or if a fact that is needed could not be read."""
    try:
        observation = look(context)
    except UnreadableFact as unreadable:
        return Verdict(passed=False, summary=str(unreadable), hint=_SHOW_FACTS)
    problems, evidence, gpus = observation.problems, observation.evidence, observation.gpus
    return Verdict(
        passed=not problems,
        summary=first_of(problems) or observation.holds,
        evidence={**evidence, "problems": problems} if problems else evidence,
        hint=observation.hint if problems else "",
        gpus=gpus,
    )


def first_of(problems: list[str], shown: int = 3) -> str:
    """Return the first problems as one text; a summary stays readable, evidence has them all."""
    more = f"; and {len(problems) - shown} more" if len(problems) > shown else ""
    return "; ".join(problems[:shown]) + more


def optional_fact(facts: Mapping[str, Any], name: str) -> Any:
    value = facts.get(name, _UNKNOWN)
    return None if isinstance(value, dict) and value.get("type") == "Missing" else value


def fact(facts: dict[str, Any], name: str) -> Any:
    """Return the value of a fact. Raise UnreadableFact, with the reason, if it has none."""
    if (value := optional_fact(facts, name)) is not None:
        return value
    missing = facts.get(name) or _UNKNOWN
    why = ": ".join(word for word in (missing["why"], missing.get("detail", "")) if word)
    title = name.replace("_", " ").replace("gpu", "GPU")
    raise UnreadableFact(f"{title} could not be read ({why})")


def used_gpus(context: Context, name: str = "gpus") -> list[dict[str, Any]]:
    """Return the entries of a fact for the GPUs in use; for a MIG slice that of its GPU."""
    used = {gpu.partition(":")[0] for gpu in context.gpus}
    entries = [entry for entry in fact(context.facts, name) if entry["id"] in used]
    if not entries:
        raise UnreadableFact(f"nothing is known of GPU {', '.join(sorted(used))}")
    return entries


def with_field(entries: list[dict[str, Any]], key: str, title: str) -> list[dict[str, Any]]:
    """Return the entries that have a field. Raise UnreadableFact if none has."""
    known = [entry for entry in entries if entry.get(key) is not None]
    if not known:
        raise UnreadableFact(f"{title} could not be read: no source has it for these GPUs")
    return known


def group_by_text(entries: list[tuple[str, str]]) -> list[str]:
    """Return one sentence for all GPUs with the same text: "GPU 0-3: no persistence mode"."""
    gpus: dict[str, list[str]] = {}
    for gpu, text in entries:
        gpus.setdefault(text, []).append(gpu)
    return [f"GPU {', '.join(_ranges(ids))}: {text}" for text, ids in gpus.items()]


def _ranges(ids: list[str]) -> list[str]:
    ranges: list[list[str]] = []
    for gpu in ids:
        last = ranges[-1][-1] if ranges else ""
        if gpu.isdigit() and last.isdigit() and int(gpu) == int(last) + 1:
            ranges[-1].append(gpu)
        else:
            ranges.append([gpu])
    return [ids[0] if len(ids) == 1 else f"{ids[0]}-{ids[-1]}" for ids in ranges]


def in_container(facts: dict[str, Any]) -> bool:
    return bool((optional_fact(facts, "container") or {}).get("engine"))


def is_allotted(facts: dict[str, Any]) -> bool:
    """Return whether this process may be given only some GPUs of the machine."""
    scheduler = optional_fact(facts, "scheduler") or {}
    return in_container(facts) or scheduler.get("place") in {"job", "pod"}


def all_integrated(context: Context) -> bool:
    """Return whether all GPUs share the host's memory (Jetson) and lack much that cards have."""
    gpus = optional_fact(context.facts, "gpus") or []
    return bool(gpus) and all(gpu["integrated"] for gpu in gpus)
