"""The only place that starts processes: argv lists, a deadline, a process group, bounded output, no survivors."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shlex
import shutil
import signal
import subprocess  # noqa: TID251 - this is the one door
import time
from typing import TYPE_CHECKING

import msgspec

from provision.doors import interruption, pipes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

GRACE_S = 0.5
_ASK_AGAIN_S = 1.0
_PR_SET_PDEATHSIG = 1


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended. `status` is None where it never started or left no status behind.

    `signal` is the name of the signal that ended it; `stderr` holds the system's reason where it
    could not be started.
    """

    argv: tuple[str, ...]
    status: int | None = None
    signal: str | None = None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    timed_out: bool = False
    missing: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0 and not self.timed_out

    @property
    def command(self) -> str:
        """The command, ready to paste into a shell."""
        return shlex.join(self.argv)

    def problem(self) -> str:
        """One sentence that says what went wrong; empty where nothing did."""
        if self.ok:
            return ""
        if self.missing:
            return f"{self.argv[0]} was not found"
        last = next((line.strip() for line in reversed(self.stderr.splitlines()) if line.strip()), "")
        if self.timed_out:
            how = f"did not end within {self.seconds:.1f} s"
        elif self.signal:
            how = f"was ended by {self.signal}"
        elif self.status is None:
            how = "could not be started"
        else:
            how = f"ended with status {self.status}"
        return f"{self.command} {how}: {last}" if last else f"{self.command} {how}"


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    deadline_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | None = None,  # noqa: A002 - the word that subprocess has for it
    on_line: Callable[[str], None] | None = None,
    until: Callable[[], float] | None = None,
    ends_with_us: bool = False,
    keep_open: Sequence[int] = (),
) -> Finished:
    """Run a command to its end or its deadline; never raises for what the command does.

    `env` is the whole environment of the child (ours where it is None). The command leads its own
    process group, so that what it started goes with it, also when we are interrupted. A child that even
    SIGKILL cannot end (a driver in D state) is left behind. `on_line` hears every line while the command
    runs, and what it raises ends that and us; `until` tells the moment (of time.monotonic) at which it has been
    silent for too long, and is asked again then; `ends_with_us`: the kernel ends it where even we were killed;
    `keep_open`: what it inherits.
    """
    words = tuple(os.fspath(word) for word in argv)
    began = time.monotonic()
    try:
        # In the midst of it an interruption would leave a child that nobody knows.
        with interruption.later() as interrupted:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
                pass_fds=tuple(keep_open),
                preexec_fn=_end_with(os.getpid()) if ends_with_us else None,  # noqa: PLW1509 - a system call
            )
    except (OSError, ValueError) as error:
        missing = _is_missing(error, words[0], (os.environ if env is None else env).get("PATH"))
        return Finished(argv=words, missing=missing, stderr=str(error), seconds=time.monotonic() - began)
    try:
        ends = began + deadline_s
        return _attend(child, words, began, until or (lambda: ends), input, on_line, interrupted)
    except BaseException:  # an interruption: nothing of ours works on behind the caller's back
        _end_group(child)
        raise


def _end_with(parent: int) -> Callable[[], None]:
    """What a child does first: ask the kernel to be killed when its parent is gone, however that came about."""
    prctl = _prctl()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # gone already, between fork and here
            os._exit(1)

    return ask


@functools.cache
def _prctl() -> Callable[..., int]:
    found: Callable[..., int] = ctypes.CDLL(None).prctl
    return found


def _is_missing(error: Exception, command: str, path: str | None) -> bool:
    """Whether the command itself is not there: a missing working directory looks almost the same."""
    if isinstance(error, PermissionError) and "/" not in command:
        # A folder on PATH that we may not enter hides that the command is in none of the others.
        return shutil.which(command, mode=os.F_OK, path=path) is None
    return isinstance(error, FileNotFoundError) and error.filename == command


def _attend(
    child: subprocess.Popen[bytes],
    words: tuple[str, ...],
    began: float,
    until: Callable[[], float],
    text: str | None,
    on_line: Callable[[str], None] | None,
    interrupted: Callable[[], None],
) -> Finished:
    out, err = bytearray(), bytearray()
    failed: list[Exception] = []

    def tell(line: bytes) -> None:
        try:
            if on_line and not failed:
                on_line(line.decode("utf-8", "replace"))
        except Exception as error:  # noqa: BLE001 - this is a thread: whoever called us is to hear of it
            failed.append(error)
            _end_group(child)

    threads = [pipes.thread(pipes.drain, child.stdout, out, tell), pipes.thread(pipes.drain, child.stderr, err, tell)]
    if text is not None:
        threads.append(pipes.thread(pipes.feed, child.stdin, text.encode()))
    interrupted()
    timed_out = not _ended(child, until)
    # A grandchild may hold the pipes open after the command itself has ended.
    pipes.join(threads, until() - time.monotonic() if not timed_out else 0.0)
    if timed_out or any(thread.is_alive() for thread in threads):
        _end_group(child)
        pipes.join(threads, GRACE_S)
    if failed:
        raise failed[0]
    seconds = time.monotonic() - began
    status = child.returncode
    return Finished(
        argv=words,
        status=status,
        signal=_signal_name(status) if status is not None and status < 0 else None,
        stdout=bytes(out).decode("utf-8", "replace"),
        stderr=bytes(err).decode("utf-8", "replace"),
        seconds=seconds,
        timed_out=timed_out,
    )


def _signal_name(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal has a number only
        return f"signal {-status}"


def _ended(child: subprocess.Popen[bytes], until: Callable[[], float]) -> bool:
    while (left := until() - time.monotonic()) > 0:
        if _wait(child, min(left, _ASK_AGAIN_S)):  # it may have become sooner
            return True
    return child.poll() is not None


def _wait(child: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        child.wait(max(seconds, 0.0))
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_group(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        _wait(child, GRACE_S)
        if not _group_lives(child.pid):
            return
    # What is left waits inside the kernel; nobody can end it, so nobody waits for it.


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
