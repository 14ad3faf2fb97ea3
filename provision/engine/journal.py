"""What was started and what was done in a generation: JSON lines, each on the disk before the work goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

FILE = "journal.jsonl"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `when` is for people: order in the file is what counts, clocks go backwards."""

    what: Literal["started", "done"]
    step: str
    fingerprint: str
    when: str


class Journal:
    """The journal of one generation; a last line that a crash has torn is as if it had never been written."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE

    def entries(self) -> list[Entry]:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=Entry))
            except msgspec.MsgspecError:
                continue
        return found

    def done(self) -> dict[str, str]:
        """By step: the fingerprint with which it was done, where it was not started again since."""
        found: dict[str, str] = {}
        for entry in self.entries():
            if entry.what == "done":
                found[entry.step] = entry.fingerprint
            else:
                found.pop(entry.step, None)
        return found

    def append(self, entry: Entry) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(handle).st_size
            # A torn line is closed first, else this one would be lost with it.
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, b"\n" * torn + msgspec.json.encode(entry) + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
