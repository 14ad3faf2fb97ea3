"""The reports with which each host has verified an environment: hosts may share a prefix."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from provision.doors import files
from provision.engine.environments import STATE
from provision.engine.integrity import manifest
from provision.errors import NotWritable, StepFailed


def host_id() -> str:
    """Return a lasting id of this host that does not reveal its name.

    It is half of a hash of the machine id.
    """
    try:
        identity = Path("/etc/machine-id").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        identity = ""
    return hashlib.sha256((identity or os.uname().nodename).encode()).hexdigest()[:16]


def report_path(environment: Path) -> Path:
    return environment / STATE / "verified" / f"{host_id()}.json"


def read_report(environment: Path) -> bytes | None:
    """Read the report with which this host verified an environment; None if it did not."""
    try:
        return files.read_own(report_path(environment))
    except OSError:
        return None


def _served_path(environment: Path) -> Path:
    return environment / STATE / "served-compiled" / host_id()


def has_served_compiled(environment: Path) -> bool:
    """Return whether a server with vLLM's own defaults has answered right on this host."""
    return _served_path(environment).exists()


def note_served_compiled(environment: Path, *, passed: bool) -> None:
    """Remember how the check of such a server ended."""
    path = _served_path(environment)
    with contextlib.suppress(OSError, NotWritable):  # a user who may only read notes nothing
        if passed:
            files.write_own(path, b"")
        else:
            files.remove_own(path)


def withdraw(environment: Path) -> None:
    """Withdraw this host's verification, and have the next run read all files again."""
    for path in (report_path(environment), environment / STATE / manifest.FILE):
        files.remove_own(path)


def save(environment: Path, report_document: bytes) -> None:
    """Store the report of a verification; raise StepFailed on a full disk: a retry resumes."""
    try:
        files.write_own(report_path(environment), report_document)
    except NotWritable as failure:
        raise StepFailed(failure.what, where=failure.where, hint=failure.hint) from failure
