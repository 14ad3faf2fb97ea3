"""What the checks of a run come to: verified only where nothing that was promised, used or measured is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from provision.engine.check_results import CheckResult, Figure, Tried
from provision.errors import CHECK_FAILED, DONE, UNDECIDED


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, its exit code, and all that stands against "verified"."""

    verdict: Literal["verified", "not verified", "undecided"]
    exit_code: int
    against: tuple[str, ...] = ()


def conclude(tried: Tried, promised: Iterable[str], gpus: Sequence[str]) -> Conclusion:
    """A check that failed settles it, and hides nothing else that is open. `gpus`: all that are used."""
    failed = [f"{check.name} failed" for check in tried.checks if check.outcome == "fail"]
    open_ = [*_undecided(tried.checks, promised), *_untried(tried.checks, gpus), *_lost(tried)]
    if failed:
        return Conclusion(verdict="not verified", exit_code=CHECK_FAILED, against=(*failed, *open_))
    if open_:
        return Conclusion(verdict="undecided", exit_code=UNDECIDED, against=tuple(open_))
    return Conclusion(verdict="verified", exit_code=DONE)


def _undecided(checks: Iterable[CheckResult], promised: Iterable[str]) -> list[str]:
    # Of two that bear one name the undecided one counts: who adds a check proves nothing that was open.
    decided_first = sorted(checks, key=lambda check: check.outcome in ("skip", "error"))
    outcomes = {check.name: check.outcome for check in decided_first}
    ended = {name: outcomes.get(name, "not tried") for name in promised}
    if not ended:
        return ["no check was promised"]
    said = {"skip": "was skipped", "error": "could not decide", "not tried": "was not tried"}
    return [f"{name} {said[how]}" for name, how in ended.items() if how in said]


def _untried(checks: Iterable[CheckResult], gpus: Sequence[str]) -> list[str]:
    """A claim about every GPU that was not tried on each, or on one that is not used.

    Beyond a claim are GPUs that lack what the check says it needs of one, where it was tried on another: without any
    other it would have been skipped.
    """
    return [
        f"{check.name} was tried on {_gpus(check.gpus)}, and {_gpus(gpus)} are used"
        for check in checks
        if check.every_gpu and check.outcome in ("pass", "warn") and sorted(_settled(check)) != sorted(_by_one(gpus))
    ]


def _settled(check: CheckResult) -> list[str]:
    beyond = check.evidence.get("beyond", {})
    return [*check.gpus, *(beyond if check.gpus and isinstance(beyond, dict) else ())]


def _by_one(gpus: Sequence[str]) -> Sequence[str]:
    """What one process can try: all whole GPUs, else one slice of MIG."""
    return [gpu for gpu in gpus if ":" not in gpu and not gpu.startswith("MIG-")] or gpus[:1]


def _gpus(ids: Sequence[str]) -> str:
    return f"GPU {', '.join(ids)}" if ids else "no GPU"


def _lost(tried: Tried) -> list[str]:
    """Figures that were measured and are not here, and samples of them."""
    measured: dict[str, list[Figure]] = {}
    for figure in tried.figures:
        measured.setdefault(figure.check, []).append(figure)
    ended = {check.name for check in tried.checks}
    lost = [f"{name} measured, and its end is not here" for name in sorted(measured) if name not in ended]
    for check in tried.checks:
        figures = measured.get(check.name, [])
        if (here := _different(figures)) != check.measured:
            lost.append(f"{check.name} measured {check.measured} figures, and {here} are here")
        lost += [f"{check.name}: {said}" for figure in figures if (said := _incomplete(figure))]
    return lost


def _different(figures: Iterable[Figure]) -> int:
    return len({(figure.name, *sorted(figure.of.items())) for figure in figures})


def _incomplete(figure: Figure) -> str:
    if len(figure.samples) == figure.repeats:
        return ""
    return f"{figure.name} was measured {figure.repeats} times, and {len(figure.samples)} of them are here"
