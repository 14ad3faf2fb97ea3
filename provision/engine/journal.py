"""What was started and what was done in a generation: JSON lines, each on the disk before the work goes on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

import msgspec

FILE = "journal.jsonl"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. `when` is for people: order in the file is what counts, clocks go backwards.

    Of what is done: in which `run`, and with which commands, so that later runs can tell.
    """

    what: Literal["started", "done", "failed"]
    step: str
    fingerprint: str
    when: str
    run: str = ""
    commands: tuple[str, ...] = ()

    @property
    def outcome(self) -> Literal["done", "failed", "interrupted"]:
        """What is at work at this moment counts as interrupted: its end is not noted yet."""
        return "interrupted" if self.what == "started" else self.what


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

    def last(self) -> dict[str, Entry]:
        """By step: what was noted of it last."""
        return {entry.step: entry for entry in self.entries()}

    def done(self) -> dict[str, str]:
        """By step: the fingerprint with which it was done, where it was not started again since."""
        return {step: entry.fingerprint for step, entry in self.last().items() if entry.what == "done"}

    def note(
        self,
        what: Literal["started", "done", "failed"],
        step: str,
        fingerprint: str,
        run: str,
        commands: tuple[str, ...] = (),
    ) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.append(Entry(what=what, step=step, fingerprint=fingerprint, when=when, run=run, commands=commands))

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
