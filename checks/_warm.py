"""A process that imports torch and vLLM once and is forked for every check, before anything has touched CUDA."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from . import _tiny_model
from ._watch import Forked, Process

_IMPORTED_S = 300.0
_REAPED_S = 5.0
_GONE = "gone"


class Warm:
    """Our side of it. Where it has died of an import or of a check, or hangs, every check imports for itself."""

    def __init__(self, body: Callable[[Any], None]) -> None:
        (ask, asked), (answers, answer) = os.pipe(), os.pipe()
        process = Forked(lambda: _serve(body, ask, answer, (asked, answers)))
        _close(ask, answer)
        self.number, self._asked = process.number, asked
        # Unbuffered: what is buffered no select sees.
        self._answers = open(answers, "rb", buffering=0)  # noqa: SIM115 - closed by `end`
        self.alive, self.owes = True, False

    def start(self, request: object) -> Process | None:
        """A body forked there, once what the request names is imported; None where that cannot be."""
        if self.alive and self._settled():
            with contextlib.suppress(BrokenPipeError):
                os.write(self._asked, json.dumps(request).encode() + b"\n")
            number = self.heard(_IMPORTED_S)
            if isinstance(number, int):
                self.owes = True
                return _Asked(self, number)
            self.end()
        return None

    def _settled(self) -> bool:
        """Whether it has told how the body before ended: of one that nobody waited for, it tells afterwards."""
        if self.owes and not isinstance(self.heard(_REAPED_S), int):
            self.end()
        self.owes = False
        return self.alive

    def heard(self, seconds: float) -> Any:
        """Its next word; None where none comes in time. Its end is a word too."""
        if not select.select([self._answers], [], [], seconds)[0]:
            return None
        line = self._answers.readline()
        return json.loads(line) if line else _GONE

    def end(self) -> None:
        self.alive = False
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.number, signal.SIGKILL)
            os.waitpid(self.number, 0)


class _Asked:
    """A body that was forked there."""

    def __init__(self, warm: Warm, number: int) -> None:
        self._warm, self.number = warm, number

    def poll(self) -> int | None:
        status = self._warm.heard(0)
        if status == _GONE:
            self._warm.end()
            return -signal.SIGKILL
        self._warm.owes = status is None
        return None if status is None else int(status)


def _serve(body: Callable[[Any], None], ask: int, answer: int, others: tuple[int, ...]) -> NoReturn:
    """In the child: import and fork at every word. Nobody keeps a pipe's end that is not his: ends must be heard."""
    _close(*others)
    os.environ.update(_tiny_model.OFFLINE)

    def say(number: int) -> None:
        os.write(answer, json.dumps(number).encode() + b"\n")

    asked = open(ask, "rb", buffering=0)  # noqa: SIM115 - it ends with this process
    while line := asked.readline():
        request = json.loads(line)
        for package in request["warm"]:
            importlib.import_module(package)
        if _touched():
            break  # a fork could do nothing with it
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # were it ignored, nobody could say how a body ended
        process = Forked(lambda: _alone(body, request, ask, answer))  # noqa: B023 - called before the next one
        say(process.number)
        say(os.waitstatus_to_exitcode(os.waitpid(process.number, 0)[1]))
    os._exit(0)


def _touched() -> bool:
    """Whether anybody has woken CUDA: torch says so of itself alone, the driver's open file of everybody."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        return True
    for handle in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder itself, which is closed by now
            if os.readlink(handle.path).startswith("/dev/nvidia-uvm"):
                return True
    return False


def _alone(body: Callable[[Any], None], request: Any, *pipes: int) -> None:
    _close(*pipes)
    body(request)


def _close(*handles: int) -> None:
    for handle in handles:
        os.close(handle)
