"""The comparison of two reports: each change under the changes that may have caused it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provision.report._check_changes import check_changes, untried
from provision.report._comparison import Change, Comparison, Group, Side
from provision.report._environment_changes import environment_changes
from provision.report._figure_changes import figure_changes
from provision.report._gpu_names import GpuNames, match, rename
from provision.report._host_changes import Moving, host_changes, unrecorded
from provision.report._model import Report

_WORDS = ("tokens", "backend", "attention backend")  # figures that an upgrade must not change


def compare(
    before: Report, after: Report, moving: Moving, steps: Mapping[str, str] | None = None
) -> Comparison:
    """Return the changes from one run to the other.

    `moving` names the parts of each fact that change by themselves. `steps` names the step that
    each check proves.
    """
    old, new = before.facts, after.facts
    host = host_changes(old, new, moving) if old and new else []
    gpus = match(old, new)
    after = rename(after, gpus.names)
    causes = [*host, *environment_changes(before, after, gpus)]
    figures, unjudged = figure_changes(before, after, gpus)
    effects = [*check_changes(before, after, gpus), *figures]
    notes = (
        *_unrecorded(before, after),
        *untried(before, after),
        *_without_figures(before, after),
        gpus.renumbered,
    )
    return Comparison(
        before=_side(before),
        after=_side(after),
        other_host=_id(before) != _id(after),
        silent=tuple(
            change
            for change in (*causes, *effects)
            if before.verdict == after.verdict and _is_silent(change, gpus)
        ),
        groups=_groups(causes, effects, steps or {}),
        notes=tuple(filter(None, notes)),
        unjudged=tuple(unjudged),
    )


def regressions(comparison: Comparison, threshold: float) -> tuple[Change, ...]:
    """Return the changes against the later run; `threshold` is the slowdown that is accepted."""
    return tuple(
        change
        for change in (*comparison.causes, *comparison.effects)
        if _is_regression(change, threshold)
    )


def _groups(
    causes: Sequence[Change], effects: Sequence[Change], steps: Mapping[str, str]
) -> tuple[Group, ...]:
    """Return each effect under the only cause, else under those related to it, else under all."""
    effects_by_causes: dict[tuple[Change, ...], list[Change]] = {}
    for effect in effects:
        # The first word is the name of the check.
        step = steps.get(effect.about.split()[0], "")
        words = f"{effect.about} {step}".lower().replace("-", "_")
        related = tuple(cause for cause in causes if _is_related(cause, effect, words))
        blamed = tuple(causes) if len(causes) == 1 or not related else related
        effects_by_causes.setdefault(blamed, []).append(effect)
    for cause in causes:
        if not any(cause in blamed for blamed in effects_by_causes):
            effects_by_causes[cause,] = []
    return tuple(
        Group(causes=blamed, effects=tuple(changes))
        for blamed, changes in effects_by_causes.items()
    )


def _is_related(cause: Change, effect: Change, words: str) -> bool:
    about = cause.about.lower()
    # A driver or kernel can affect every check on a GPU, and no other check.
    if about.split()[0] in ("driver", "kernel"):
        return bool(effect.gpus)
    if cause.gpus:
        return bool(set(cause.gpus) & set(effect.gpus))
    if cause.area == "environment":
        return about.replace("-", "_") in words
    # Shorter words would match by chance.
    return any(word in words for word in about.replace("_", " ").split() if len(word) >= 3)


def _is_silent(change: Change, gpus: GpuNames) -> bool:
    """Return whether this is a change for the worse, another word or a lost GPU."""
    if change.area == "host" and change.how == "gone" and change.about.strip() == "gpus":
        # A GPU that only moved to another number is not lost.
        return gpus.gone >= {*change.gpus}
    if change.area in ("host", "environment"):
        return change.subject.startswith("attention backend")
    return change.how == "worse" or (change.area == "figure" and change.how == "changed")


def _is_regression(change: Change, threshold: float) -> bool:
    if change.area == "figure":
        if change.how == "changed":
            return change.name in _WORDS
        # A measurement that failed has no part.
        return change.how == "worse" and (change.part > threshold or not change.part)
    if change.area == "check":
        return change.how == "worse" and change.before == "pass"
    return change.subject.startswith("attention backend")


def _id(report: Report) -> str:
    return str(report.host.get("id", ""))


def _side(report: Report) -> Side:
    return Side(
        run=report.run,
        started=report.started,
        verdict=report.verdict,
        exit_code=report.exit_code,
        generation=report.generation,
        host=_id(report),
    )


def _without_figures(before: Report, after: Report) -> list[str]:
    sides = (("the earlier run", before, after), ("the later run", after, before))
    return [
        f"{run} has no figures" for run, own, other in sides if other.figures and not own.figures
    ]


def _unrecorded(before: Report, after: Report) -> list[str]:
    old, new = before.facts, after.facts
    sides = (("the earlier run", old), ("the later run", new))
    missing = [run for run, facts in sides if not facts]
    if missing:
        return [f"{' and '.join(missing)} did not record the host"]
    names = unrecorded(old, new)
    return [f"recorded in only one of the runs: {', '.join(names)}"] if names else []
