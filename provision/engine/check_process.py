"""Run checks in a child process of the environment's own Python; results come back as files."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from provision.doors import process
from provision.engine.logs import StepLog

# A check that prints without end must not fill the disk.
_LOG_LIMIT = 16 * 1024 * 1024
# The child ends every check at its deadline. This spare time is for a child that hangs itself.
_SPARE_S = 30.0
# Importing torch and vLLM, once for all checks, may take this long.
_IMPORT_S = 600.0
# The only variables that a check inherits. LD_LIBRARY_PATH is needed because some containers have
# the GPU driver only there.
_KEPT: Final = (
    *("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LD_LIBRARY_PATH"),
    *("CUDA_HOME", "CC", "CXX"),  # compilers of what is compiled on first use
    *("NVIDIA_VISIBLE_DEVICES", "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"),
    *("CUDA_CACHE_PATH", "CUDA_CACHE_MAXSIZE", "CUDA_CACHE_DISABLE"),
    "VLLM_USE_FLASHINFER_SAMPLER",
)
# These change how GPUs exchange data, in vLLM too. Without them another way would be checked.
_KEPT_GROUP: Final = "NCCL_"


class RunnableCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a check's description by which this process logs and times it.

    `warm` names the slow imports of the check; the child does them once for all checks.
    """

    name: str
    title: str = ""
    deadline_s: float = 0.0
    warm: tuple[str, ...] = ()


C = TypeVar("C", bound=RunnableCheck)


class CheckProcess(Generic[C]):
    """One child process that runs checks one after another and reports each start and end.

    `at_work` is the check that was running when the child ended, if any, and `log` that of the
    check that ended last.
    """

    def __init__(
        self, logs: Path, started: Callable[[C], None], ended: Callable[[C, bytes], None]
    ) -> None:
        self.at_work: C | None = None
        self._logs, self._started, self._ended = logs, started, ended
        self.log: StepLog | None = None
        self._log_space = 0
        self._until = 0.0

    def run(
        self,
        python: str,
        folder: Path,
        checks: Sequence[C],
        context: msgspec.Struct,
        gpus: tuple[str, ...] = (),
        keep: tuple[str, ...] = (),
    ) -> str:
        """Run the checks in this order and return what was wrong with the process itself.

        `keep` names further variables that the checks inherit.
        """
        try:
            # The prefix is short because sockets are made below: their paths hold 107 bytes.
            with tempfile.TemporaryDirectory(
                prefix="vllm-ready-", ignore_cleanup_errors=True
            ) as place:
                environment = environment_of_a_check(place, gpus, keep)
                return self._run(python, folder, checks, context, Path(place), environment)
        except OSError as error:  # no space for the request
            return f"could not be tried: {error}"

    def _run(
        self,
        python: str,
        folder: Path,
        checks: Sequence[C],
        context: msgspec.Struct,
        work: Path,
        environment: dict[str, str],
    ) -> str:
        # A random mark, so that the output of a check cannot be mistaken for a line of the child.
        mark, request = secrets.token_hex(16), work / "requests.json"
        request.write_bytes(
            msgspec.json.encode({"mark": mark, "context": context, "checks": list(checks)})
        )
        # -B: checks write no bytecode into the environment or this checkout.
        argv = [python, "-I", "-B", str(folder / "_child.py"), "run", str(request)]

        def on_line(text: str) -> None:
            if not text.startswith(mark):
                self._log_output(text)
                return
            _, event, position = text.split()
            check = checks[int(position)]
            if event == "started":
                self._begin(check, argv, environment)
            else:
                self._end(check, work / position / "result.json")

        self._wait(_IMPORT_S)
        finished = process.run(
            argv, deadline_s=_SPARE_S, until=lambda: self._until, env=environment, on_line=on_line
        )
        if self.log and self.at_work:
            self.log.close()
        return finished.problem() or "its process ended without a result"

    def _begin(self, check: C, argv: list[str], environment: dict[str, str]) -> None:
        self.at_work, self._log_space = check, _LOG_LIMIT
        self._wait(check.deadline_s + (_IMPORT_S if check.warm else 0))
        self.log = StepLog(self._logs / f"check-{check.name}.log")
        self.log.command(check.title, process.Finished(argv=tuple(argv)).command, environment)
        self._started(check)

    def _end(self, check: C, result: Path) -> None:
        # The child renames the file into place before it announces the end.
        document = result.read_bytes()
        self.at_work = None
        self._wait()
        if self.log:
            self.log.close()
        self._ended(check, document)

    def _wait(self, seconds: float = 0.0) -> None:
        self._until = time.monotonic() + seconds + _SPARE_S

    def _log_output(self, text: str) -> None:
        if self.at_work and self.log and self._log_space > 0:
            self._log_space -= len(text) + 1
            self.log.line(text if self._log_space > 0 else "(the rest of the output is left out)")


def environment_of_a_check(
    home: str, gpus: tuple[str, ...] = (), keep: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the environment variables of a check: few inherited ones and a HOME of its own."""
    group = [name for name in os.environ if name.startswith(_KEPT_GROUP)]
    variables = {name: os.environ[name] for name in (*_KEPT, *group, *keep) if name in os.environ}
    variables["HOME"] = home
    # The driver's compiled PTX is shared by all checks, although some have a home of their own.
    variables.setdefault("CUDA_CACHE_PATH", f"{home}/cuda-cache")
    # A MIG slice such as 0:1 has no number for CUDA: it can only be selected by its UUID.
    if gpus and all(gpu.isdigit() or gpu[:4] in ("GPU-", "MIG-") for gpu in gpus):
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    return variables
