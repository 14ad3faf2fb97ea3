"""The journal of an environment: steps started, done and failed, as JSON lines synced to disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from provision.doors import files
from provision.engine.boot import boot_id

FILE = "journal.jsonl"


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the journal.

    `when` is for people only: clocks go backwards, so the order in the file counts. A step that is
    done also notes its `run` and its `commands`, for the reports of later runs. `boot` is the id of
    the host's boot.
    """

    what: Literal["started", "done", "failed"]
    step: str
    fingerprint: str
    when: str
    run: str = ""
    commands: tuple[str, ...] = ()
    boot: str = ""

    @property
    def outcome(self) -> Literal["done", "failed", "interrupted"]:
        """Return how the step ended; a step that is running also counts as interrupted."""
        return "interrupted" if self.what == "started" else self.what


class Journal:
    """The journal of one environment. A last line cut short by a crash is ignored."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE

    def entries(self) -> list[JournalEntry]:
        """Read all readable entries in order."""
        try:
            lines = files.read_own(self._path).split(b"\n")
        except OSError:
            return []
        entries = (files.decode_document(line, JournalEntry) for line in lines)
        return [entry for entry in entries if entry]

    def last_entries(self) -> dict[str, JournalEntry]:
        return {entry.step: entry for entry in self.entries()}

    def done_fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of each step that is done and was not started again since."""
        return {
            step: entry.fingerprint
            for step, entry in self.last_entries().items()
            if entry.what == "done"
        }

    def is_of_earlier_boot(self) -> bool:
        """Return whether the host has booted since the last entry."""
        return any(entry.boot != boot_id() for entry in self.entries()[-1:])

    def write(
        self,
        what: Literal["started", "done", "failed"],
        step: str,
        fingerprint: str,
        run: str,
        commands: tuple[str, ...] = (),
    ) -> None:
        """Append an entry about a step with the current time."""
        self.append(
            JournalEntry(
                what=what,
                step=step,
                fingerprint=fingerprint,
                when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                run=run,
                commands=commands,
                boot=boot_id(),
            )
        )

    def append(self, entry: JournalEntry) -> None:
        """Append an entry and wait until it is on the disk."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.is_file():
            files.remove_own(self._path)
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(handle).st_size
            # End a line that was cut short first, or this entry would be lost with it.
            cut_short = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, b"\n" * cut_short + msgspec.json.encode(entry) + b"\n")
            # A note that a power cut could undo must not be relied on by the next step.
            os.fsync(handle)
        finally:
            os.close(handle)
