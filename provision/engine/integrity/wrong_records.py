"""Wheels whose own RECORD is wrong: some are published so, and their true digests are remembered.

Without this, such a distribution would look damaged for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from provision.binary import record
from provision.doors import files
from provision.engine.integrity import repair
from provision.engine.integrity.installed import site_packages
from provision.engine.integrity.manifest import read_mark
from provision.engine.integrity.survey import DamagedDistribution
from provision.events import Note, Subscriber

CONTENTS = "contents.json"


def read_true_digests(state: Path) -> dict[str, str]:
    """Read the remembered digests of an environment, by path below site-packages."""
    return files.read_document(state / CONTENTS, dict[str, str]) or {}


class WrongRecords:
    """The wrong RECORD files of one environment; `true_digests` are by path."""

    def __init__(self, environment: Path, state: Path, events: Subscriber) -> None:
        self.true_digests = read_true_digests(state)
        self._environment, self._state, self._events = environment, state, events
        # By distribution: files that differed from RECORD and were removed.
        self._removed: dict[str, dict[str, str]] = {}

    def remove(self, torn: DamagedDistribution) -> None:
        """Remove a distribution, and remember which of its files differed from RECORD."""
        differing = self._differing_files(torn.dist_info)
        repair.remove_distribution(self._environment, torn)
        if site := site_packages(self._environment):
            self._removed[torn.name] = {
                path: digest for path, digest in differing.items() if not (site / path).exists()
            }

    def remember(self, torn: Iterable[DamagedDistribution]) -> bool:
        """Remember files that differ from RECORD in the same way after a fresh installation.

        Only the wheel itself can have brought the same content again. Return whether there is one.
        """
        learned: dict[str, str] = {}
        for distribution in torn:
            differing = self._differing_files(distribution.dist_info)
            if differing and differing == self._removed.get(distribution.name):
                learned |= differing
                paths = ", ".join(sorted(differing))
                self._events(
                    Note(text=f"the wheel of {distribution.name} has a wrong RECORD: {paths}")
                )
        if learned:
            self.true_digests |= learned
            files.write_own(self._state / CONTENTS, msgspec.json.encode(self.true_digests))
        return bool(learned)

    def _differing_files(self, dist_info: str) -> dict[str, str]:
        site = site_packages(self._environment)
        if site is None:
            return {}
        try:
            paths = record.differences(site, dist_info)
        except ValueError:
            return {}
        return {
            path: read_mark(str(site / path), path, os.lstat(site / path)).digest
            for path in paths
            if (site / path).is_file()
        }
