"""Finds the checks and tries each in a child of the environment's own Python; verdicts come as files."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from provision.doors import process
from provision.engine.check_process import Keeper, Request, environment_of_a_check
from provision.engine.check_results import CheckResult, Figure, Tried
from provision.errors import StepFailed

CHECKS: Final = Path(__file__).parents[2] / "checks"
# Of a server that runs; a server that a check starts must not ask for it.
_KEY: Final = ("VLLM_API_KEY",)
_ROOM: Final = "is there room for temporary files? TMPDIR names another place for them"

Depth = Literal["passive", "quick", "full"]
_DEPTHS: Final[tuple[Depth, ...]] = ("passive", "quick", "full")


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What must be there before a check can decide anything; it is promised only where the lock has `distributions`."""

    packages: tuple[str, ...] = ()
    gpus: int = 0
    profile: Literal["cpu", "cuda"] | None = None
    lock: bool = False
    distributions: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    capability: tuple[int, int] | None = None
    recording: bool = False
    serving: bool = False
    or_plan: bool = False


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a check declares; `problem` says why its file could not be loaded, and then nothing else is known.

    `warm` is what it imports that takes seconds, and may be imported once for all.
    """

    name: str
    title: str = ""
    proves: str = ""
    step: int = 0
    weight: Literal["must", "should"] = "must"
    on: Literal["environment", "host"] = "environment"
    profile: Depth = "passive"
    deadline_s: float = 0.0
    needs: Needs = Needs()
    warm: tuple[str, ...] = ()
    every_gpu: bool = False
    problem: str = ""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a check is told: the lock's pins by name, the GPUs to be used, the generation and its `vllm` command.

    `contents` holds the true hashes ("sha256=...", as RECORD writes them) of files for which a wheel's own RECORD
    is wrong, by path below site-packages; some wheels are published so. `facts` is the host now, `earlier` as an
    earlier run found it; `plan` is the environment's own.
    """

    profile: Literal["cpu", "cuda"]
    pins: dict[str, str] = {}
    contents: dict[str, str] = {}
    gpus: tuple[str, ...] = ()
    promised: tuple[str, ...] = ()
    prefix: str = ""
    launcher: str = ""
    facts: dict[str, Any] = {}
    earlier: dict[str, Any] = {}
    plan: dict[str, Any] = {}
    serving: str = ""


class CheckStarted(msgspec.Struct, frozen=True, kw_only=True, tag="check started"):
    """A check is about to be tried."""

    name: str
    title: str


class CheckDone(msgspec.Struct, frozen=True, kw_only=True, tag="check done"):
    """A check has ended, one way or another."""

    result: CheckResult
    figures: tuple[Figure, ...] = ()


class _Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The file that the child leaves."""

    outcome: Literal["pass", "fail", "skip", "error"]
    summary: str
    evidence: dict[str, Any]
    seconds: float
    hint: str
    figures: tuple[dict[str, Any], ...] = ()
    gpus: tuple[str, ...] = ()


Subscriber = Callable[[CheckStarted | CheckDone], None]


@functools.cache
def discover(folder: Path = CHECKS, python: str = sys.executable) -> tuple[Description, ...]:
    """Every check of a folder. A child reads them: what a check file does on import stays out of this process."""
    try:
        with tempfile.TemporaryDirectory(prefix="vllm-ready-") as work:
            answer = Path(work) / "checks.json"
            argv = [python, "-I", "-B", str(folder / "_child.py"), "describe", str(answer)]
            finished = process.run(argv, deadline_s=60, env=environment_of_a_check(work))
            if not finished.ok:
                raise StepFailed(f"the checks cannot be listed: {finished.problem()}", hint=_ROOM)
            return msgspec.json.decode(answer.read_bytes(), type=tuple[Description, ...])
    except OSError as error:
        raise StepFailed(f"the checks cannot be listed: {error}", hint=_ROOM) from error


def chosen(checks: Iterable[Description], depth: Depth) -> list[Description]:
    """Those of a profile and of the lighter ones before it; one that could not be loaded is never left out."""
    return [check for check in checks if check.problem or _DEPTHS.index(check.profile) <= _DEPTHS.index(depth)]


def run(
    python: str,
    checks: Sequence[Description],
    context: Context,
    log_folder: Path,
    events: Subscriber = lambda event: None,  # noqa: ARG005 - nobody listens
    *,
    folder: Path = CHECKS,
) -> Tried:
    """Try every check on its own; whatever one of them does, the others are tried too.

    Those that need torch come after those that do not, and vLLM's last: each is imported once for all.
    """
    found: dict[str, CheckResult] = {}
    figures: list[Figure] = []

    def started(check: Description) -> None:
        events(CheckStarted(name=check.name, title=check.title))

    def ended(check: Description, how: _Ended) -> None:
        try:
            measured = [msgspec.convert({**one, "check": check.name}, Figure) for one in how.figures]
        except msgspec.ValidationError as error:
            how, measured = _error(f"left figures that cannot be read: {error}", how.seconds), []
        found[check.name] = _weighed(check, how)
        figures.extend(measured)
        events(CheckDone(result=found[check.name], figures=tuple(measured)))

    left = sorted((check for check in checks if not check.problem), key=lambda check: len(check.warm))
    while left:
        at_work, problem = _together(python, left, context, log_folder, folder, started, ended)
        left = [check for check in left if check.name not in found]
        # Its keeper died beneath the one that was at work. Where none was, none of the others ever will be.
        for check in [at_work] if at_work else left:
            if not at_work:
                started(check)
            ended(check, _error(problem))
        left = [check for check in left if check.name not in found]
    for check in checks:
        if check.problem:
            started(check)
            ended(check, _error(check.problem))
    return Tried(checks=tuple(found.values()), figures=tuple(figures))


def _together(
    python: str,
    asked: Sequence[Description],
    context: Context,
    log_folder: Path,
    folder: Path,
    started: Callable[[Description], None],
    ended: Callable[[Description, _Ended], None],
) -> tuple[Description | None, str]:
    """By one keeper. The check that it was at when it ended, if it did, and what went wrong with it."""
    keeper = Keeper(
        log_folder,
        started=lambda at: started(asked[at]),
        ended=lambda at, said: ended(asked[at], _read(said)),
    )
    try:
        requests = [_request(check, context) for check in asked]
        problem = keeper.run(python, folder, requests, context.gpus, _KEY if context.serving else ())
    except OSError as error:  # no room for what it is asked
        problem = f"could not be tried: {error}"
    return (None if keeper.at_work is None else asked[keeper.at_work]), problem


def _request(check: Description, context: Context) -> Request:
    return Request(
        check=check.name,
        title=check.title,
        deadline_s=check.deadline_s,
        warm=check.warm,
        context=msgspec.to_builtins(context),
    )


def _read(said: bytes) -> _Ended:
    try:
        return msgspec.json.decode(said, type=_Ended)
    except (msgspec.DecodeError, RecursionError) as error:
        return _error(f"left a result that cannot be read: {error}")


def _error(summary: str, seconds: float = 0.0) -> _Ended:
    return _Ended(outcome="error", summary=summary, evidence={}, seconds=seconds, hint="")


def _weighed(check: Description, ended: _Ended) -> CheckResult:
    return CheckResult(
        name=check.name,
        step=check.step,
        outcome="warn" if ended.outcome == "fail" and check.weight == "should" else ended.outcome,
        weight=check.weight,
        proves=check.proves,
        summary=ended.summary,
        evidence=ended.evidence,
        seconds=ended.seconds,
        hint=ended.hint,
        every_gpu=check.every_gpu,
        gpus=ended.gpus,
        measured=len(ended.figures),
    )
