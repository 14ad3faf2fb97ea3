"""The Python interpreters that an environment could be made from, newest first."""

from __future__ import annotations

import msgspec
from packaging.version import Version

from provision.host._model import Fact, Probe, Readings

_PYTHONS = Probe("pythons")


class Python(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is full ("3.12.3") from an interpreter, "3.12" from a description."""

    version: str
    path: str | None = None
    venv: bool | None = None
    headers: bool | None = None


def parse(readings: Readings) -> tuple[Python, ...]:
    """Read one answer per interpreter; skip one that printed something else."""
    by_path: dict[str | None, Python] = {}
    for answer in msgspec.json.decode(readings.text(_PYTHONS), type=list[str]):
        try:
            python = msgspec.json.decode(answer, type=Python)
            Version(python.version)
        except (ValueError, msgspec.MsgspecError):
            continue
        by_path.setdefault(python.path, python)
    return tuple(sorted(by_path.values(), key=_newest_and_most_useful, reverse=True))


def _newest_and_most_useful(python: Python) -> tuple[Version, bool, bool, str]:
    return Version(python.version), python.venv is True, python.headers is True, python.path or ""


FACT = Fact[tuple[Python, ...]](title="Python interpreters", sources=(_PYTHONS,), parse=parse)
