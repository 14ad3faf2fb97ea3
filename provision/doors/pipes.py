"""What a child says and is told: read to the end so that it never blocks, kept and handed on within bounds."""

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


def drain(pipe: IO[bytes], kept: bytearray, tell: Callable[[bytes], None]) -> None:
    """Read to the end so that the child never blocks, keep the first part, hand on every line.

    Of one without an end only the beginning: nobody reads more, and a secret could hide where it is cut in two.
    """
    rest, inside = b"", False
    with pipe:
        while chunk := os.read(pipe.fileno(), 65536):
            kept.extend(chunk[: OUTPUT_LIMIT - len(kept)])
            *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            if inside:
                inside, lines, rest = not lines, lines[1:], rest if lines else b""
            if len(rest) > _LINE_LIMIT:
                inside, lines, rest = True, [*lines, rest[:_LINE_LIMIT] + _LEFT_OUT], b""
            for line in lines:
                tell(line)
    if rest:
        tell(rest)


def feed(pipe: IO[bytes], data: bytes) -> None:
    # A child that ends without reading its input is no failure of ours.
    with contextlib.suppress(BrokenPipeError):
        try:
            pipe.write(data)
        finally:
            pipe.close()


def join(threads: list[threading.Thread], seconds: float) -> None:
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.01))
