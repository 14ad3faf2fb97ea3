"""Wheels whose own RECORD is wrong: some are published so, and they are held to what they really bring."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from provision.engine.events import Note, Subscriber
from provision.engine.integrity import repair, survey


class WrongRecords:
    """What one environment has learned of such wheels: `known` has the true digests, by path below site-packages."""

    def __init__(self, generation: Path, state: Path, events: Subscriber) -> None:
        self.known = survey.known_contents(state)
        self._generation, self._state, self._events = generation, state, events
        self._gone: dict[str, dict[str, str]] = {}  # by distribution: files unlike its RECORD, and really gone

    def taken_out(self, torn: survey.Torn) -> None:
        """Take a distribution out, and keep in mind what of it was unlike its RECORD."""
        unlike = survey.unlike_record(self._generation, torn.dist_info)
        repair.take_out(self._generation, torn)
        if site := survey.site_packages(self._generation):
            self._gone[torn.name] = {path: digest for path, digest in unlike.items() if not (site / path).exists()}

    def learn(self, torn: Iterable[survey.Torn]) -> bool:
        """Files that were gone, came anew out of the wheel, and are again what RECORD denies: so the wheel has them."""
        learned: dict[str, str] = {}
        for each in torn:
            unlike = survey.unlike_record(self._generation, each.dist_info)
            if unlike and unlike == self._gone.get(each.name):
                learned |= unlike
                self._events(Note(text=f"the wheel of {each.name} has a wrong RECORD: {', '.join(sorted(unlike))}"))
        if learned:
            self.known |= learned
            survey.learn_contents(self._state, self.known)
        return bool(learned)
