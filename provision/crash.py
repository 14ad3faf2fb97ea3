"""Crash logs: versions and traceback of a bug, ready to attach to an issue."""

from __future__ import annotations

import platform
import sys
import time
import traceback
from pathlib import Path

from provision.doors import files
from provision.errors import NotWritable
from provision.host.record import own_scrubber
from provision.version import VERSION


def report(argv: list[str], checkout: str) -> str:
    """Write the log of the current exception and return the message for the user."""
    kind, error, _ = sys.exc_info()
    scrub = own_scrubber().text
    python = f"Python {platform.python_version()}, {platform.platform()}"
    text = scrub(f"vllm-ready {VERSION}, {python}\narguments: {argv}\n\n{traceback.format_exc()}")
    path = Path(checkout) / "logs" / f"crash-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.log"
    first_line = scrub(str(error)).split("\n")[0]
    message = f"error: a bug in vllm-ready: {kind.__name__ if kind else 'unknown'}: {first_line}\n"
    try:
        files.write(path, text.encode("utf-8", "backslashreplace"))
    except NotWritable:
        return f"{message}{text}"
    return f"{message} hint: please report it and attach {path}\n"
