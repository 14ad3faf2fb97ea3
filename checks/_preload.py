"""A process that imports torch and vLLM once, and is forked for every check that needs them."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from . import _tiny_model
from ._watchdog import Process, fork

# Importing vLLM can take minutes from a slow network disk; beyond this limit it hangs.
_IMPORT_LIMIT_S = 300.0
_REAP_LIMIT_S = 5.0
_GONE = "gone"


class Preloaded:
    """Our side of that process. Once it has died or hangs, every check imports for itself."""

    def __init__(self, try_body: Callable[[Any], None]) -> None:
        (orders, self._orders), (answers, answer) = os.pipe(), os.pipe()
        process = fork(lambda: _serve(try_body, orders, answer, (self._orders, answers)))
        _close(orders, answer)
        self.number = process.number
        # Unbuffered, since select does not see what lies in a buffer.
        self._answers = open(answers, "rb", buffering=0)  # noqa: SIM115 - closed with this process
        self._alive, self._status_due = True, False

    def start(self, body: object) -> Process | None:
        """Import what a body needs and fork it there; None if that is not possible."""
        if self._alive and self._is_ready():
            with contextlib.suppress(BrokenPipeError):
                os.write(self._orders, json.dumps(body).encode() + b"\n")
            number = self._read(_IMPORT_LIMIT_S)
            if isinstance(number, int):
                self._status_due = True
                return Process(number, self._poll)
            self.end()
        return None

    def _poll(self) -> int | None:
        """Return the exit status of the body that was forked last, or None while it runs."""
        status = self._read(0)
        if status == _GONE:
            self.end()
            return -signal.SIGKILL
        self._status_due = status is None
        return None if status is None else int(status)

    def end(self) -> None:
        self._alive = False
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.number, signal.SIGKILL)
            os.waitpid(self.number, 0)

    def _is_ready(self) -> bool:
        """Read the status of a body that nothing waited for, and return whether one came."""
        if self._status_due and not isinstance(self._read(_REAP_LIMIT_S), int):
            self.end()
        self._status_due = False
        return self._alive

    def _read(self, seconds: float) -> Any:
        """Return the next answer, None if none comes in time, or _GONE if the process has ended."""
        if not select.select([self._answers], [], [], seconds)[0]:
            return None
        line = self._answers.readline()
        return json.loads(line) if line else _GONE


def _serve(
    try_body: Callable[[Any], None], orders: int, answer: int, other_ends: tuple[int, ...]
) -> NoReturn:
    """Import and fork for every order. Runs in the preloaded process."""
    # A pipe tells of the death of a process only if no other process holds its end.
    _close(*other_ends)
    os.environ.update(_tiny_model.OFFLINE)

    def send(number: int) -> None:
        os.write(answer, json.dumps(number).encode() + b"\n")

    lines = open(orders, "rb", buffering=0)  # noqa: SIM115 - closed with this process
    while line := lines.readline():
        body = json.loads(line)
        for package in body["imports"]:
            importlib.import_module(package)
        if _cuda_is_initialized():
            break  # CUDA does not survive a fork
        # If an import made the kernel reap children by itself, no status could be read.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        process = fork(partial(_run_body, try_body, body, orders, answer))
        send(process.number)
        send(os.waitstatus_to_exitcode(os.waitpid(process.number, 0)[1]))
    os._exit(0)


def _cuda_is_initialized() -> bool:
    """Return whether torch, or any other library in this process, has started CUDA."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        return True
    # torch knows only of itself; the driver's open file tells of every library.
    for handle in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the handle of this listing is closed by now
            if os.readlink(handle.path).startswith("/dev/nvidia-uvm"):
                return True
    return False


def _run_body(try_body: Callable[[Any], None], body: Any, *pipes: int) -> None:
    _close(*pipes)
    try_body(body)


def _close(*handles: int) -> None:
    for handle in handles:
        os.close(handle)
