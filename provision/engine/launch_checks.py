"""Find the checks and run them in child processes of the environment's own Python."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from provision.doors import process
from provision.engine.check_process import CheckProcess, RunnableCheck, environment_of_a_check
from provision.engine.logs import StepLog
from provision.errors import StepFailed
from provision.events import CheckDone, CheckStarted
from provision.results import CheckResult, CheckResults

CHECKS: Final = Path(__file__).parents[2] / "checks"
# The key of a running server that is checked. A server that a check starts itself must not get it.
_KEY: Final = ("VLLM_API_KEY",)
_NO_SPACE: Final = "is there space for temporary files? TMPDIR names another place for them"

Depth = Literal["passive", "quick", "full"]
_DEPTHS: Final[tuple[Depth, ...]] = ("passive", "quick", "full")


class CheckNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """The requirements without which a check is skipped.

    A check with `distributions` is promised only if the lock has them.
    """

    packages: tuple[str, ...] = ()
    gpus: int = 0
    profile: Literal["cpu", "cuda"] | None = None
    lock: bool = False
    distributions: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    capability: tuple[int, int] | None = None
    most_capability: tuple[int, int] | None = None
    recording: bool = False
    serving: bool = False
    or_plan: bool = False


class CheckDescription(RunnableCheck, frozen=True, kw_only=True):
    """The declaration of a check.

    If its file could not be loaded, `problem` says why and only the name is known.
    """

    proves: str = ""
    step: int = 0
    weight: Literal["must", "should"] = "must"
    on: Literal["environment", "host"] = "environment"
    profile: Depth = "passive"
    needs: CheckNeeds = CheckNeeds()
    every_gpu: bool = False
    problem: str = ""


class CheckContext(msgspec.Struct, frozen=True, kw_only=True):
    """The information that a check gets about the environment and the host.

    `pins` are the lock's versions by name, `prefix` is the environment, `launcher` its `vllm`
    command. `contents` holds the true digests ("sha256=...", as RECORD writes them) of files for
    which a wheel's own RECORD is wrong, by path below site-packages. `facts` is the host now and
    `earlier` the host in an earlier run. `plan` is the plan of the environment, if it has one.
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


# The folder does not change during a run, and every list starts a process.
@functools.cache
def discover(folder: Path = CHECKS, python: str = sys.executable) -> tuple[CheckDescription, ...]:
    """List every check of a folder.

    A child process imports the check files, so that their import code stays out of this process.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="vllm-ready-") as work:
            answer = Path(work) / "checks.json"
            finished = process.run(
                [python, "-I", "-B", str(folder / "_child.py"), "describe", str(answer)],
                deadline_s=60,
                env=environment_of_a_check(work),
            )
            if not finished.ok:
                raise StepFailed(
                    f"the checks cannot be listed: {finished.problem()}", hint=_NO_SPACE
                )
            return msgspec.json.decode(answer.read_bytes(), type=tuple[CheckDescription, ...])
    except OSError as error:
        raise StepFailed(f"the checks cannot be listed: {error}", hint=_NO_SPACE) from error


def select(checks: Iterable[CheckDescription], depth: Depth) -> list[CheckDescription]:
    """Select the checks of a profile and of the lighter ones before it.

    A check that could not be loaded is always selected, so that its problem is reported.
    """
    limit = _DEPTHS.index(depth)
    return [check for check in checks if check.problem or _DEPTHS.index(check.profile) <= limit]


def run(
    python: str,
    checks: Sequence[CheckDescription],
    context: CheckContext,
    log_folder: Path,
    events: Callable[[CheckStarted | CheckDone], None] = lambda _: None,
    *,
    folder: Path = CHECKS,
) -> CheckResults:
    """Run every check in isolation; a check that crashes or hangs does not affect the others.

    Checks that import torch run after those that do not, and checks that import vLLM last: each is
    imported once for all checks.
    """
    done: dict[str, CheckDone] = {}

    def start(check: CheckDescription) -> None:
        events(CheckStarted(name=check.name, title=check.title))

    def end(check: CheckDescription, event: CheckDone) -> None:
        if child.log and event.result.outcome not in ("pass", "skip"):
            event = _with_log(event, child.log)
        done[check.name] = event
        events(event)

    def read(check: CheckDescription, document: bytes) -> None:
        end(check, _read(check, document))

    keep = _KEY if context.serving else ()
    waiting = sorted(checks, key=lambda check: len(check.warm))
    while waiting:
        child = CheckProcess(log_folder, start, read)
        problem = child.run(python, folder, waiting, context, context.gpus, keep)
        waiting = [check for check in waiting if check.name not in done]
        # A child that died during a check loses only that one; another child runs the others. A
        # child that died outside of any check would do so again.
        for check in [child.at_work] if child.at_work else waiting:
            if not child.at_work:
                child.log = None
                start(check)
            end(check, _error(check, problem))
        waiting = [check for check in waiting if check.name not in done]
    return CheckResults(
        checks=tuple(event.result for event in done.values()),
        figures=tuple(figure for event in done.values() for figure in event.figures),
    )


def _read(check: CheckDescription, document: bytes) -> CheckDone:
    try:
        return msgspec.json.decode(document, type=CheckDone)
    except (ValueError, RecursionError) as error:
        return _error(check, f"left a result that cannot be read: {error}")


def _with_log(event: CheckDone, log: StepLog) -> CheckDone:
    result = msgspec.structs.replace(event.result, log=str(log.path), lines=log.telling)
    return msgspec.structs.replace(event, result=result)


def _error(check: CheckDescription, summary: str) -> CheckDone:
    return CheckDone(
        result=CheckResult(
            name=check.name,
            step=check.step,
            outcome="error",
            weight=check.weight,
            proves=check.proves,
            summary=summary,
            every_gpu=check.every_gpu,
        )
    )
