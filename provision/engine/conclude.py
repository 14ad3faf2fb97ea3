"""Conclude a run: verified only if nothing that was promised, used or measured is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from provision.errors import CHECK_FAILED, DONE, UNDECIDED
from provision.results import CheckResult, CheckResults, Figure


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, its exit code, and every reason against "verified"."""

    verdict: Literal["verified", "not verified", "undecided"]
    exit_code: int
    against: tuple[str, ...] = ()


def conclude(results: CheckResults, promised: Iterable[str], gpus: Sequence[str]) -> Conclusion:
    """Conclude from the results of checks; `gpus` are all GPUs that are used.

    A failed check decides the verdict. The undecided ones are named as well.
    """
    failed = [f"{check.name} failed" for check in results.checks if check.outcome == "fail"]
    open_ = [
        *_undecided(results.checks, promised),
        *_untried(results.checks, gpus),
        *_lost(results),
    ]
    if failed:
        return Conclusion(verdict="not verified", exit_code=CHECK_FAILED, against=(*failed, *open_))
    if open_:
        return Conclusion(verdict="undecided", exit_code=UNDECIDED, against=tuple(open_))
    return Conclusion(verdict="verified", exit_code=DONE)


def _undecided(checks: Iterable[CheckResult], promised: Iterable[str]) -> list[str]:
    # Of two results with one name the undecided one counts: adding a result proves nothing.
    decided_first = sorted(checks, key=lambda check: check.outcome in ("skip", "error"))
    outcomes = {check.name: check.outcome for check in decided_first}
    ends = {name: outcomes.get(name, "not tried") for name in promised}
    if not ends:
        return ["no check was promised"]
    texts = {"skip": "was skipped", "error": "could not decide", "not tried": "was not tried"}
    return [f"{name} {texts[end]}" for name, end in ends.items() if end in texts]


def _untried(checks: Iterable[CheckResult], gpus: Sequence[str]) -> list[str]:
    """List the checks about every GPU that were tried on more or fewer GPUs than are used.

    A GPU that lacks what the check needs counts as tried, if the check was tried on another one. A
    check without any such other GPU is skipped.
    """
    # One process can use all whole GPUs, but only one MIG slice.
    whole = [gpu for gpu in gpus if ":" not in gpu and not gpu.startswith("MIG-")]
    return [
        f"{check.name} was tried on {_gpus(check.gpus)}, but the run uses {_gpus(gpus)}"
        for check in checks
        if check.every_gpu and check.outcome in ("pass", "warn")
        if sorted(_settled(check)) != sorted(whole or gpus[:1])
    ]


def _settled(check: CheckResult) -> list[str]:
    beyond = check.evidence.get("beyond", {})
    return [*check.gpus, *(beyond if check.gpus and isinstance(beyond, dict) else ())]


def _gpus(ids: Sequence[str]) -> str:
    return f"GPU {', '.join(ids)}" if ids else "no GPU"


def _lost(tried: CheckResults) -> list[str]:
    measured: dict[str, list[Figure]] = {}
    for figure in tried.figures:
        measured.setdefault(figure.check, []).append(figure)
    ended = {check.name for check in tried.checks}
    lost = [f"{name} has figures, but no result" for name in sorted(measured) if name not in ended]
    for check in tried.checks:
        figures = measured.get(check.name, [])
        # A figure that is there twice does not replace a missing one.
        present = len({(figure.name, *sorted(figure.of.items())) for figure in figures})
        if present != check.measured:
            lost.append(
                f"{check.name} measured {check.measured} figures, but the run has {present}"
            )
        lost += [f"{check.name}: {text}" for figure in figures if (text := _incomplete(figure))]
    return lost


def _incomplete(figure: Figure) -> str:
    if len(figure.samples) == figure.repeats:
        return ""
    return (
        f"{figure.name} was measured {figure.repeats} times, but has {len(figure.samples)} samples"
    )
