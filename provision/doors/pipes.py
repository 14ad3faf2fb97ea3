"""The pipes of a child process: read to the end so that it never blocks, kept within bounds."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import IO

OUTPUT_LIMIT = 16 * 1024 * 1024
_LINE_LIMIT = 65536
_LEFT_OUT = b" (the rest of this line is left out)"


def thread(work: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def drain(pipe: IO[bytes], output: bytearray, on_line: Callable[[bytes], None]) -> None:
    """Read a pipe to its end: keep the first part in `output` and call `on_line` with every line.

    A line without an end is cut once and the rest is dropped: a secret that is cut in two would
    pass the filter of the logs.
    """
    rest, inside_long_line = b"", False
    with pipe:
        while chunk := os.read(pipe.fileno(), 65536):
            output.extend(chunk[: OUTPUT_LIMIT - len(output)])
            # Progress bars end their lines with \r.
            *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            if inside_long_line:
                inside_long_line, lines, rest = not lines, lines[1:], rest if lines else b""
            if len(rest) > _LINE_LIMIT:
                lines = [*lines, rest[:_LINE_LIMIT] + _LEFT_OUT]
                inside_long_line, rest = True, b""
            for line in lines:
                on_line(line)
    if rest:
        on_line(rest)


def feed(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # a child may end without reading its input
        try:
            pipe.write(data)
        finally:
            pipe.close()


def join(threads: list[threading.Thread], seconds: float) -> None:
    """Wait for threads, so many seconds for all of them together."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.01))
