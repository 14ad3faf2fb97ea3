"""A bug's log: versions and traceback in a file that can be pasted into an issue."""

from __future__ import annotations

import platform
import sys
import time
import traceback
from pathlib import Path

from provision.doors import files
from provision.errors import NotWritable
from provision.host.record import who_and_where
from provision.version import VERSION


def report(argv: list[str], checkout: str) -> str:
    """Write the log of the exception being handled; returns what to tell the user."""
    kind, error, _ = sys.exc_info()
    scrub = who_and_where().text
    body = [
        f"vllm-ready {VERSION}, Python {platform.python_version()}, {platform.platform()}",
        f"arguments: {argv}",
        "",
        traceback.format_exc(),
    ]
    path = Path(checkout) / "logs" / f"crash-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.log"
    said = scrub(str(error)).split("\n")[0]
    what = f"error: a bug in vllm-ready: {kind.__name__ if kind else 'unknown'}: {said}\n"
    text = scrub("\n".join(body))
    try:
        files.write(path, text.encode("utf-8", "backslashreplace"))
    except NotWritable:
        return f"{what}{text}"
    return f"{what} hint: please report it with {path}\n"
