"""Finds the checks and tries each in a child of the environment's own Python; verdicts come as files."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from provision.doors import process
from provision.engine.logs import StepLog
from provision.errors import CHECK_FAILED, DONE, UNDECIDED, StepFailed

CHECKS: Final = Path(__file__).parents[2] / "checks"
# A check that prints without end must not fill the disk.
_LOG_LIMIT = 16 * 1024 * 1024
# The child keeps the check's deadline itself and ends what the check started; this is for a child that cannot.
_SPARE_S = 30.0
_ROOM: Final = "is there room for temporary files? TMPDIR names another place for them"
# All that a check gets of our environment. LD_LIBRARY_PATH stays: some containers have the GPU driver only there.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES")

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


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a check declares; `problem` says why its file could not be loaded, and then nothing else is known."""

    name: str
    title: str = ""
    proves: str = ""
    step: int = 0
    weight: Literal["must", "should"] = "must"
    on: Literal["environment", "host"] = "environment"
    profile: Depth = "passive"
    deadline_s: float = 0.0
    needs: Needs = Needs()
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


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one check ended, as a report has it."""

    name: str
    outcome: Literal["pass", "warn", "fail", "skip", "error"]
    weight: Literal["must", "should"] = "must"
    proves: str = ""
    summary: str = ""
    evidence: dict[str, Any] = {}
    seconds: float = 0.0
    hint: str = ""


class CheckStarted(msgspec.Struct, frozen=True, kw_only=True, tag="check started"):
    """A check is about to be tried."""

    name: str
    title: str


class CheckDone(msgspec.Struct, frozen=True, kw_only=True, tag="check done"):
    """A check has ended, one way or another."""

    result: CheckResult


class _Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The file that the child leaves."""

    outcome: Literal["pass", "fail", "skip", "error"]
    summary: str
    evidence: dict[str, Any]
    seconds: float
    hint: str


Subscriber = Callable[[CheckStarted | CheckDone], None]
Verdict = Literal["verified", "not verified", "undecided"]


def discover(folder: Path = CHECKS, python: str = sys.executable) -> list[Description]:
    """Every check of a folder. A child reads them: what a check file does on import stays out of this process."""
    try:
        with tempfile.TemporaryDirectory(prefix="vllm-ready-") as work:
            answer = Path(work) / "checks.json"
            argv = [python, "-I", "-B", str(folder / "_child.py"), "describe", str(answer)]
            finished = process.run(argv, deadline_s=60, env=_environment(work))
            if not finished.ok:
                raise StepFailed(f"the checks cannot be listed: {finished.problem()}", hint=_ROOM)
            return msgspec.json.decode(answer.read_bytes(), type=list[Description])
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
) -> list[CheckResult]:
    """Try every check on its own; whatever one of them does, the others are tried too."""
    results = []
    for check in checks:
        events(CheckStarted(name=check.name, title=check.title))
        result = _weighed(
            check, _error(check.problem) if check.problem else _try(python, check, context, log_folder, folder)
        )
        events(CheckDone(result=result))
        results.append(result)
    return results


def verdict(results: Iterable[CheckResult], promised: Iterable[str]) -> tuple[Verdict, int]:
    """What all of it comes to, and the exit code: a promise that was not decided is not kept."""
    outcomes = {result.name: result.outcome for result in results}
    if "fail" in outcomes.values():
        return "not verified", CHECK_FAILED
    if all(outcomes.get(name) in {"pass", "warn"} for name in promised):
        return "verified", DONE
    return "undecided", UNDECIDED


def _try(python: str, check: Description, context: Context, log_folder: Path, folder: Path) -> _Ended:
    try:
        return _tried(python, check, context, log_folder, folder)
    except OSError as error:  # no room for what it is asked
        return _error(f"could not be tried: {error}")


def _tried(python: str, check: Description, context: Context, log_folder: Path, folder: Path) -> _Ended:
    # Short on purpose: sockets are made below it, and their names have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="vllm-ready-", ignore_cleanup_errors=True) as work:
        request, answer, scratch = (Path(work) / name for name in ("request.json", "result.json", "s"))
        scratch.mkdir()
        asked = {
            "check": check.name,
            "deadline_s": check.deadline_s,
            "verdict": f"{work}/verdict.json",
            "result": str(answer),
            "context": {**msgspec.to_builtins(context), "scratch": str(scratch)},
        }
        request.write_bytes(msgspec.json.encode(asked))
        # -B: bytecode is no business of a check, neither the environment's nor ours
        argv = [python, "-I", "-B", str(folder / "_child.py"), "run", str(request)]
        environment = _environment(str(scratch), context.gpus)
        with contextlib.closing(StepLog(log_folder / f"check-{check.name}.log")) as log:
            log.command(check.title, process.Finished(argv=tuple(argv)).command, environment)
            finished = process.run(
                argv,
                deadline_s=check.deadline_s + _SPARE_S,
                env=environment,
                cwd=scratch,
                on_line=_bounded(log),
            )
        try:
            return msgspec.json.decode(answer.read_bytes(), type=_Ended)
        except (OSError, msgspec.DecodeError):
            return _error(finished.problem() or "the child ended without a result", finished.seconds)


def _environment(scratch: str, gpus: tuple[str, ...] = ()) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept |= {"HOME": scratch, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if gpus and all(gpu.isdigit() for gpu in gpus):  # a slice has no number that CUDA knows
        kept["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    return kept


def _bounded(log: StepLog) -> Callable[[str], None]:
    left = _LOG_LIMIT

    def line(text: str) -> None:
        nonlocal left
        if left > 0:
            left -= len(text) + 1
            log.line(text if left > 0 else "(the rest of the output is left out)")

    return line


def _error(summary: str, seconds: float = 0.0) -> _Ended:
    return _Ended(outcome="error", summary=summary, evidence={}, seconds=seconds, hint="")


def _weighed(check: Description, ended: _Ended) -> CheckResult:
    return CheckResult(
        name=check.name,
        outcome="warn" if ended.outcome == "fail" and check.weight == "should" else ended.outcome,
        weight=check.weight,
        proves=check.proves,
        summary=ended.summary,
        evidence=ended.evidence,
        seconds=ended.seconds,
        hint=ended.hint,
    )
