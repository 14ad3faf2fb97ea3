"""The only place that starts processes.

Commands are argv lists with a deadline, in a process group of their own, with bounded output; none
survives its run.
"""

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
from typing import IO, TYPE_CHECKING, cast

import msgspec

from provision.doors import interruption, pipes
from provision.errors import UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

GRACE_S = 0.5
_ASK_AGAIN_S = 1.0  # a deadline that moves is read again so often
_PR_SET_PDEATHSIG = 1
_FILTER_CHUNK = 1024 * 1024


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a process.

    `status` is None if it never started or left no status. `signal` is the name of the signal that
    ended it. `stderr` holds the system's reason if it could not be started.
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
        """Return whether the command ended in time with status 0."""
        return self.status == 0 and not self.timed_out

    @property
    def command(self) -> str:
        """Return the command, ready to paste into a shell."""
        return shlex.join(self.argv)

    def problem(self) -> str:
        """Return what went wrong in one sentence; "" if nothing did."""
        if self.ok:
            return ""
        if self.missing:
            return self.ending
        last = self.last_line()
        return f"{self.command} {self.ending}: {last}" if last else f"{self.command} {self.ending}"

    @property
    def ending(self) -> str:
        """Return in a few words how the process ended."""
        if self.missing:
            return f"{self.argv[0]} was not found"
        if self.timed_out:
            return f"did not end within {self.seconds:.1f} s"
        if self.signal:
            return f"was ended by {self.signal}"
        if self.status is None:
            return "could not be started"
        return f"ended with status {self.status}"

    def last_line(self) -> str:
        """Return the last line of stderr that is not blank."""
        return next(
            (line.strip() for line in reversed(self.stderr.splitlines()) if line.strip()), ""
        )


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    deadline_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | None = None,  # noqa: A002 - as subprocess calls it
    on_line: Callable[[str], None] | None = None,
    until: Callable[[], float] | None = None,
    ends_with_us: bool = False,
    keep_open: Sequence[int] = (),
) -> Finished:
    """Run a command to its end or its deadline.

    A failure of the command never raises. The command leads its own process group, so that what it
    started ends with it, also on an interruption. A child that even SIGKILL cannot end (a driver in
    D state) is left behind.

    `env`: the whole environment of the child; None means ours.
    `on_line`: called with every line while the command runs; an exception of it ends the command
    and is raised here.
    `until`: returns the deadline (of time.monotonic) anew each time, for commands that may run on
    while they produce output.
    `ends_with_us`: the kernel ends the command even if this process is killed.
    `keep_open`: file descriptors that the command inherits.
    """
    words = tuple(os.fspath(word) for word in argv)
    began = time.monotonic()
    try:
        # An interruption inside Popen would leave a child whose pid is lost.
        with interruption.deferred() as interrupt_if_deferred:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
                pass_fds=tuple(keep_open),
                # A system call only, so it is safe between fork and exec.
                preexec_fn=_end_with(os.getpid()) if ends_with_us else None,  # noqa: PLW1509
            )
    except (OSError, ValueError) as error:
        missing = _is_missing(error, words[0], (os.environ if env is None else env).get("PATH"))
        return Finished(
            argv=words, missing=missing, stderr=str(error), seconds=time.monotonic() - began
        )
    try:
        deadline = began + deadline_s
        until = until or (lambda: deadline)
        return _attend(child, words, began, until, input, on_line, interrupt_if_deferred)
    except BaseException:  # also an interruption: the command must not run on without its caller
        _end_group(child)
        raise


def filtered(argv: Sequence[str], chunks: Iterable[bytes], *, where: str) -> Iterator[bytes]:
    """Yield what a filter such as `zstd -dc` makes of a stream, in bounded memory.

    Raise UnreadableInput if it fails. It ends with the caller, also if not all is read.
    """
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    # All three are pipes.
    stdin, stdout, stderr = cast("tuple[IO[bytes], ...]", (child.stdin, child.stdout, child.stderr))

    def feed() -> None:
        with contextlib.suppress(OSError), stdin:
            for chunk in chunks:
                stdin.write(chunk)

    try:
        pipes.thread(feed)
        while chunk := stdout.read(_FILTER_CHUNK):
            yield chunk
        if child.wait(GRACE_S * 10):
            reason = stderr.read(500).decode("utf-8", "replace").strip()
            raise UnreadableInput(f"is damaged: {reason}", where=where, hint="compress it again")
    finally:
        _end_group(child)
        stdout.close()
        stderr.close()


def _end_with(parent: int) -> Callable[[], None]:
    """Return a function for the child that asks the kernel to kill it when its parent ends."""
    prctl = _prctl()

    def bind_to_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the parent ended between fork and prctl
            os._exit(1)

    return bind_to_parent


@functools.cache
def _prctl() -> Callable[..., int]:
    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    return prctl


def _is_missing(error: Exception, command: str, path: str | None) -> bool:
    """Return whether the command itself is missing; a missing working directory looks similar."""
    if isinstance(error, PermissionError) and "/" not in command:
        # A folder on PATH without permission raises this even if no other folder has the command.
        return shutil.which(command, mode=os.F_OK, path=path) is None
    return isinstance(error, FileNotFoundError) and error.filename == command


def _attend(
    child: subprocess.Popen[bytes],
    words: tuple[str, ...],
    began: float,
    until: Callable[[], float],
    text: str | None,
    on_line: Callable[[str], None] | None,
    interrupt_if_deferred: Callable[[], None],
) -> Finished:
    out, err = bytearray(), bytearray()
    errors: list[Exception] = []

    def forward(line: bytes) -> None:
        try:
            if on_line and not errors:
                on_line(line.decode("utf-8", "replace"))
        except Exception as error:  # noqa: BLE001 - in a thread; it is raised to the caller below
            errors.append(error)
            _end_group(child)

    threads = [
        pipes.thread(pipes.drain, pipe, output, forward)
        for pipe, output in ((child.stdout, out), (child.stderr, err))
    ]
    if text is not None:
        threads.append(pipes.thread(pipes.feed, child.stdin, text.encode()))
    interrupt_if_deferred()
    timed_out = not _ended(child, until)
    # A grandchild may hold the pipes open after the command itself has ended.
    pipes.join(threads, until() - time.monotonic() if not timed_out else 0.0)
    if timed_out or any(thread.is_alive() for thread in threads):
        _end_group(child)
        pipes.join(threads, GRACE_S)
    if errors:
        raise errors[0]
    status = child.returncode
    return Finished(
        argv=words,
        status=status,
        signal=signal_name(-status) if status is not None and status < 0 else None,
        stdout=bytes(out).decode("utf-8", "replace"),
        stderr=bytes(err).decode("utf-8", "replace"),
        seconds=time.monotonic() - began,
        timed_out=timed_out,
    )


def signal_name(number: int) -> str:
    """Return the name of a signal; real-time signals have only a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _ended(child: subprocess.Popen[bytes], until: Callable[[], float]) -> bool:
    while (left := until() - time.monotonic()) > 0:
        if _wait(child, min(left, _ASK_AGAIN_S)):
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
    # The rest waits inside the kernel (D state). Nothing can end it, so waiting would not help.


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # it lives, and belongs to another user
    return True
