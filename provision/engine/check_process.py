"""One process of an environment's own Python that tries many checks, each apart; results come as files."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from provision.doors import process
from provision.engine.logs import StepLog

# A check that prints without end must not fill the disk.
_LOG_LIMIT = 16 * 1024 * 1024
# The keeper holds every check to its deadline and ends what it started; this is for one that cannot, or was stopped.
_SPARE_S = 30.0
# What importing torch and vLLM may take, once for all.
_IMPORT_S = 600.0
# All that a check gets of our environment. LD_LIBRARY_PATH stays: some containers have the GPU driver only there.
_KEPT: Final = (
    *("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LD_LIBRARY_PATH"),
    *("CUDA_HOME", "CC", "CXX"),  # what is compiled on first use is compiled with these
    *("NVIDIA_VISIBLE_DEVICES", "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"),
    *("CUDA_CACHE_PATH", "CUDA_CACHE_MAXSIZE", "CUDA_CACHE_DISABLE"),
    "VLLM_USE_FLASHINFER_SAMPLER",
)
# Whoever sets these wants GPUs to exchange data in another way, vLLM's too: without them another way would be tried.
_KEPT_GROUP: Final = "NCCL_"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the keeper is to try; `warm` names what it may import beforehand, once for all that need it."""

    check: str
    title: str
    deadline_s: float
    warm: tuple[str, ...]
    context: dict[str, Any]


class Keeper:
    """Tells of every check as it starts and ends. `at_work` is the one that had started when the process ended."""

    def __init__(self, logs: Path, started: Callable[[int], None], ended: Callable[[int, bytes], None]) -> None:
        self.at_work: int | None = None
        self._logs, self._started, self._ended = logs, started, ended
        self._log: StepLog | None = None
        self._left = 0
        self._until = 0.0

    def run(
        self,
        python: str,
        folder: Path,
        requests: Sequence[Request],
        gpus: tuple[str, ...] = (),
        keeping: tuple[str, ...] = (),
    ) -> str:
        """Have all of them tried, in this order; what went wrong with the process itself, if anything.

        `keeping` names what they get of our environment besides what every check gets.
        """
        # Short on purpose: sockets are made below it, and their names have 107 bytes.
        with tempfile.TemporaryDirectory(prefix="vllm-ready-", ignore_cleanup_errors=True) as place:
            work, mark = Path(place), secrets.token_hex(16)
            asked = work / "requests.json"
            described = [_placed(request, work / str(at)) for at, request in enumerate(requests)]
            asked.write_bytes(msgspec.json.encode({"mark": mark, "requests": described}))
            # -B: bytecode is no business of a check, neither the environment's nor ours
            argv = [python, "-I", "-B", str(folder / "_child.py"), "run", str(asked)]
            environment = environment_of_a_check(place, gpus, keeping)

            def line(text: str) -> None:
                if not text.startswith(mark):
                    self._said(text)
                    return
                _, what, at = text.split()
                if what == "started":
                    self._begin(int(at), requests[int(at)], argv, environment)
                else:
                    self._end(int(at), work / at / "result.json")

            self._wait(_IMPORT_S)
            finished = process.run(argv, deadline_s=_SPARE_S, until=lambda: self._until, env=environment, on_line=line)
            if self._log:
                self._log.close()
            return finished.problem() or "its process ended without a result"

    def _begin(self, at: int, request: Request, argv: list[str], environment: dict[str, str]) -> None:
        self.at_work, self._left = at, _LOG_LIMIT
        self._wait(request.deadline_s + (_IMPORT_S if request.warm else 0))
        self._log = StepLog(self._logs / f"check-{request.check}.log")
        self._log.command(request.title, process.Finished(argv=tuple(argv)).command, environment)
        self._started(at)

    def _end(self, at: int, result: Path) -> None:
        answer = result.read_bytes()
        self.at_work = None
        self._wait()
        if self._log:
            self._log.close()
            self._log = None
        self._ended(at, answer)

    def _wait(self, seconds: float = 0.0) -> None:
        self._until = time.monotonic() + seconds + _SPARE_S

    def _said(self, text: str) -> None:
        if self._log and self._left > 0:
            self._left -= len(text) + 1
            self._log.line(text if self._left > 0 else "(the rest of the output is left out)")


def _placed(request: Request, place: Path) -> dict[str, Any]:
    scratch = place / "s"
    scratch.mkdir(parents=True)
    return {
        "check": request.check,
        "deadline_s": request.deadline_s,
        "warm": request.warm,
        "verdict": f"{place}/verdict.json",
        "result": f"{place}/result.json",
        "context": {**request.context, "scratch": str(scratch)},
    }


def environment_of_a_check(home: str, gpus: tuple[str, ...] = (), keeping: tuple[str, ...] = ()) -> dict[str, str]:
    group = [name for name in os.environ if name.startswith(_KEPT_GROUP)]
    kept = {name: os.environ[name] for name in (*_KEPT, *group, *keeping) if name in os.environ}
    kept["HOME"] = home
    # What the driver compiles of PTX, for one check and then for all; some have a home of their own.
    kept.setdefault("CUDA_CACHE_PATH", f"{home}/cuda-cache")
    if gpus and all(gpu.isdigit() or gpu[:4] in ("GPU-", "MIG-") for gpu in gpus):  # a slice has no number for CUDA
        kept["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    return kept
