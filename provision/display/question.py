"""A yes-or-no question to the person at the terminal, however output is piped."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from provision.errors import Interrupted, WrongUsage

if TYPE_CHECKING:
    from io import FileIO

PATIENCE_S = 600.0


def has_person() -> bool:
    """Return whether stdin is a terminal; in automation it is not."""
    return bool(sys.stdin) and sys.stdin.isatty()


def agreed(question: str, patience_s: float = PATIENCE_S) -> bool:
    """Ask at the terminal; raise Interrupted if nobody answers in time."""
    with _terminal() as terminal, _never_stopped():
        if _is_in_background(terminal):
            raise WrongUsage(
                "nobody can answer a question of a process in the background",
                hint="bring it to the foreground, or add --yes",
            )
        sys.stdout.flush()  # what is asked about may go through a pipe
        terminal.write(f"\n{question} [y/N] ".encode())
        if not select.select([terminal], [], [], patience_s)[0]:
            raise Interrupted(
                f"no answer within {patience_s / 60:g} minutes",
                hint="nothing was installed or changed; add --yes to go on without a question",
            )
        answer = b""
        with contextlib.suppress(OSError):  # the terminal is gone, or now another process's
            answer = os.read(terminal.fileno(), 1024)
        if not answer.endswith(b"\n"):
            terminal.write(b"\n")  # the prompt ends without one after Ctrl-D
        return answer.strip().lower() in (b"y", b"yes")


def _is_in_background(terminal: FileIO) -> bool:
    try:
        return os.tcgetpgrp(terminal.fileno()) != os.getpgrp()
    except OSError:  # it is not the terminal of our session, which has no background
        return False


@contextlib.contextmanager
def _terminal() -> Iterator[FileIO]:
    try:
        stream = open("/dev/tty", "r+b", buffering=0)  # noqa: SIM115 - closed below
    except OSError:  # stdin is a terminal, and not that of our session
        stream = open(os.dup(sys.stdin.fileno()), "r+b", buffering=0)  # noqa: SIM115 - as above
    with stream:
        yield stream


@contextlib.contextmanager
def _never_stopped() -> Iterator[None]:
    """Keep the kernel from stopping this process if it is put in the background meanwhile."""
    numbers = (signal.SIGTTIN, signal.SIGTTOU)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
