"""Two runs laid side by side: what changed, under what is likely to have caused it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provision.report._check_changes import check_changes, untried
from provision.report._comparison import Change, Comparison, Group, Side
from provision.report._environment_changes import environment_changes
from provision.report._figure_changes import figure_changes
from provision.report._gpu_names import GpuNames, matched, renamed
from provision.report._host_changes import Moving, host_changes, unrecorded
from provision.report._model import Report

_WORDS = ("tokens", "backend", "attention backend")  # figures that an upgrade must not turn into others unsaid


def compare(before: Report, after: Report, moving: Moving, steps: Mapping[str, str] | None = None) -> Comparison:
    """What changed from one run to the other.

    `moving` says what of each fact changes by itself, `steps` which step each check proves, by their names.
    """
    old, new = _facts(before), _facts(after)
    host = host_changes(old, new, moving) if old and new else []
    gpus = matched(old, new)
    after = renamed(after, gpus.names)
    causes = [*host, *environment_changes(before, after, gpus)]
    figures, unjudged = figure_changes(before, after, gpus)
    effects = [*check_changes(before, after, gpus), *figures]
    same_verdict = before.verdict == after.verdict
    return Comparison(
        before=_side(before),
        after=_side(after),
        other_host=_id(before) != _id(after),
        silent=tuple(one for one in (*causes, *effects) if _is_silent(one, gpus)) if same_verdict else (),
        groups=_grouped(causes, effects, steps or {}),
        notes=tuple(filter(None, _notes(before, after, gpus))),
        unjudged=tuple(unjudged),
    )


def regressions(found: Comparison, threshold: float) -> tuple[Change, ...]:
    """What speaks against taking the later one: slower by more than `threshold`, or another thing than before."""
    return tuple(one for one in (*found.causes, *found.effects) if _speaks_against(one, threshold))


def _grouped(causes: Sequence[Change], effects: Sequence[Change], steps: Mapping[str, str]) -> tuple[Group, ...]:
    """Effects under the only cause, under those that can touch them, or else under all."""
    under: dict[tuple[Change, ...], list[Change]] = {}
    for effect in effects:
        said = f"{effect.about} {steps.get(effect.about.split()[0], '')}".lower().replace("-", "_")
        able = tuple(cause for cause in causes if _touches(cause, effect, said))
        under.setdefault(tuple(causes) if len(causes) == 1 or not able else able, []).append(effect)
    for cause in causes:
        if not any(cause in blamed for blamed in under):
            under[cause,] = []
    return tuple(Group(causes=blamed, effects=tuple(of)) for blamed, of in under.items())


def _touches(cause: Change, effect: Change, said: str) -> bool:
    about = cause.about.lower()
    if about.split()[0] in ("driver", "kernel"):
        return bool(effect.gpus)
    if cause.gpus:
        return bool(set(cause.gpus) & set(effect.gpus))
    if cause.area == "environment":
        return about.replace("-", "_") in said
    return any(word in said for word in about.replace("_", " ").split() if len(word) >= 3)


def _is_silent(one: Change, gpus: GpuNames) -> bool:
    """Worse, another word or a GPU less, where the verdict is what it was."""
    if one.area == "host" and one.how == "gone" and one.about.strip() == "gpus":
        return gpus.gone >= {*one.gpus}
    if one.area in ("host", "environment"):
        return one.subject.startswith("attention backend")
    return one.how == "worse" or (one.area == "figure" and one.how == "changed")


def _speaks_against(one: Change, threshold: float) -> bool:
    if one.area == "figure":
        if one.how == "changed":
            return one.name in _WORDS
        return one.how == "worse" and (one.part > threshold or not one.part)
    if one.area == "check":
        return one.how == "worse" and one.before == "pass"
    return one.subject.startswith("attention backend")


def _facts(report: Report) -> Mapping[str, Any]:
    facts = report.host.get("facts")
    return facts if isinstance(facts, dict) else {}


def _id(report: Report) -> str:
    return str(report.host.get("id", ""))


def _notes(before: Report, after: Report, gpus: GpuNames) -> tuple[str, ...]:
    """What could not be compared, and what GPUs are called."""
    sides = before, after
    return *_unrecorded(*sides), *untried(*sides), *_without_figures(*sides), gpus.renumbered


def _without_figures(before: Report, after: Report) -> list[str]:
    sides = (("the run before", before, after), ("the run after", after, before))
    return [f"{who} has no figures" for who, one, other in sides if other.figures and not one.figures]


def _side(of: Report) -> Side:
    return Side(
        run=of.run,
        started=of.started,
        verdict=of.verdict,
        exit_code=of.exit_code,
        generation=of.generation,
        host=_id(of),
    )


def _unrecorded(before: Report, after: Report) -> list[str]:
    old, new = _facts(before), _facts(after)
    missing = [who for who, facts in (("the run before", old), ("the run after", new)) if not facts]
    if missing:
        return [f"{' and '.join(missing)} did not record the host"]
    names = unrecorded(old, new)
    return [f"recorded in one of them only: {', '.join(names)}"] if names else []
