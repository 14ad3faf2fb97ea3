"""Which host has verified a generation, and when: a prefix may be shared by several hosts."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from provision.doors import files
from provision.engine.environments import STATE
from provision.engine.integrity import manifest


def host_id() -> str:
    """The same for one host over time, and nothing that names it: half a hash of its machine id."""
    try:
        named = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        named = ""
    return hashlib.sha256((named or os.uname().nodename).encode()).hexdigest()[:16]


def place(generation: Path) -> Path:
    """Where this host's verified report of a generation lies."""
    return generation / STATE / "verified" / f"{host_id()}.json"


def report(generation: Path) -> bytes | None:
    """The report with which this host verified a generation."""
    try:
        return place(generation).read_bytes()
    except OSError:
        return None


def withdraw(generation: Path) -> None:
    """What did not pass is not verified, and its files are read again, not only looked at."""
    for path in (place(generation), generation / STATE / manifest.FILE):
        path.unlink(missing_ok=True)


def save(generation: Path, report_document: bytes) -> None:
    files.write(place(generation), report_document)
