"""One pass over the steps of an environment: keep what is done, repair damage, verify files."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from provision.doors import files, interruption
from provision.engine import environments, work
from provision.engine.actions import Carrier
from provision.engine.integrity import manifest as marks
from provision.engine.integrity import repair, stray_files, survey
from provision.engine.integrity.installed import is_virtual
from provision.engine.integrity.wrong_records import WrongRecords
from provision.engine.journal import Journal
from provision.engine.work import Work
from provision.errors import Failure, StepFailed, WrongUsage
from provision.events import Note, StepDone, StepResult, StepStarted, Subscriber
from provision.steps.model import Action, Fetch, Lock, Run, Site, Write

# The first attempt repairs damage, the second files that differ from RECORD in the wheel itself.
_ATTEMPTS = 3
SITE_PACKAGES = "site-packages"


class Building:
    """The state of one environment, brought step by step to what its plan says."""

    def __init__(
        self, lock: Lock, site: Site, items: list[Work], carrier: Carrier, events: Subscriber
    ) -> None:
        self._lock, self._work, self._carrier, self._events = lock, items, carrier, events
        self._generation, self._state = Path(site.generation), Path(site.state)
        self._python, self._unpacked = Path(site.python), Path(site.unpacked)
        self._journal = Journal(self._state)
        self._written = frozenset(
            action.path for item in items for action in item.actions if isinstance(action, Write)
        )
        self._results: dict[int, StepResult] = {}
        self._intact: set[str] = set()  # distributions that are complete, at the lock's version
        self._records = WrongRecords(self._generation, self._state, events)
        # The last survey, while every byte was read, all was well and nothing was changed since.
        self._clean: survey.Survey | None = None
        self._already: dict[str, marks.FileMark] = {}  # files that this run has read
        # Files of no distribution (the interpreter's links, activate) are damaged.
        self._is_bare = False

    def everything(self) -> list[StepResult]:
        """Carry out every step that is not in place. Where all are in place, write nothing."""
        was_complete = work.is_complete(self._state, self._target)
        manifest = marks.read_of_this_boot(self._state) if was_complete else None
        changed = marks.changed_files(self._generation, manifest) if manifest else []
        if (
            manifest
            and not changed
            and not self._replaced()
            and not stray_files.startup_hooks(self._generation, manifest.files)
        ):
            return [self._keep(item) for item in self._work]
        self._heal(was_complete=was_complete, changed=changed)
        for item in self._work:
            if self._is_in_place(item):
                self._keep(item)
            else:
                self._carry_out(item, ahead=self._next_fetch(item))
                self._read_ahead(item)
        return self._complete(was_complete=was_complete)

    def part(self, first: int, last: int) -> list[StepResult]:
        """Carry out the steps from one number to another, even those that are in place.

        The environment is complete if all other steps are in place, too.
        """
        was_complete = work.is_complete(self._state, self._target)
        self._heal(was_complete=was_complete, changed=[])
        for item in self._work:
            if first <= item.step.number <= last:
                self._carry_out(item)
            elif item.step.number < first and not self._is_in_place(item):
                raise WrongUsage(
                    f"step {first} builds on step {item.step.label}, which is not done here",
                    hint=f"./setup.sh provision --from {item.step.number}",
                )
        if all(self._is_in_place(item) for item in self._work):
            return self._complete(was_complete=was_complete)
        return self._in_order()

    def _next_fetch(self, before: Work) -> Fetch | None:
        """Return the files of the next step that needs any; they come while commands run."""
        later = self._work[self._work.index(before) + 1 :]
        fetches = (
            action
            for item in later
            if not self._is_in_place(item)
            for action in item.actions
            if isinstance(action, Fetch)
        )
        fetch = next(fetches, None)
        return fetch and self._missing(fetch)

    def _read_ahead(self, before: Work) -> None:
        """Read what is installed while later wheels still come.

        At the end only files that changed since are read again.
        """
        later = self._work[self._work.index(before) + 1 :]
        if before.fetches and any(item.fetches for item in later):
            self._forget_unpacked()
            self._already = {mark.path: mark for mark in self._survey().marks}

    @property
    def _target(self) -> str:
        return self._work[-1].fingerprint

    def _replaced(self) -> bool:
        """Return whether a locked distribution was replaced, or installed twice, by hand."""
        installed = survey.installed_versions(self._generation)
        return any(
            len(installed.get(canonicalize_name(pin.name), ())) != 1 for pin in self._lock.pins
        )

    def _heal(self, *, was_complete: bool, changed: list[str]) -> None:
        """Find damaged distributions and remove them, so that the installer does not trust them."""
        # A killed run resumes from what it had unpacked; every byte is read at the end. A power cut
        # may have emptied that, and uv would trust it.
        if was_complete or self._journal.is_of_earlier_boot():
            self._forget_unpacked()
        ours = {
            str(Path(path).relative_to(self._generation))
            for path in self._written
            if path.startswith(f"{self._generation}/")
        }
        self._is_bare = not is_virtual(self._generation) or any(
            f"/{SITE_PACKAGES}/" not in path and path not in ours for path in changed
        )
        done = self._journal.done_fingerprints()
        unfinished = [item for item in self._work if done.get(item.step.label) != item.fingerprint]
        damage = repair.find_damage(
            self._generation,
            self._lock,
            contents=was_complete,
            step_files=self._written,
            changed=changed,
            unfinished={canonicalize_name(name) for item in unfinished for name in item.leaves},
            true_digests=self._records.true_digests,
        )
        self._intact = set(damage.intact)
        self._clean = damage if was_complete and not damage.damaged else None
        self._remove(damage.damaged, was_installed=was_complete)

    def _forget_unpacked(self) -> None:
        """Remove what uv has unpacked: installed files are hard links to it.

        A file that is read must have one name only, and a repair must not link damage again.
        """
        shutil.rmtree(self._unpacked, ignore_errors=True)

    def _remove(self, torn: tuple[survey.DamagedDistribution, ...], *, was_installed: bool) -> None:
        """Remove damaged distributions.

        If every step had ended (`was_installed`), the difference may come from the wheel itself.
        """
        for damaged in torn:
            work.unmark_complete(self._state)
            self._events(
                Note(text=f"{damaged.name} is damaged and is installed again: {damaged.why}")
            )
            self._intact.discard(damaged.name)
            if was_installed:
                self._records.remove(damaged)
            else:
                repair.remove_distribution(self._generation, damaged)

    def _survey(self) -> survey.Survey:
        return survey.survey(
            self._generation,
            self._lock,
            contents=True,
            step_files=self._written,
            true_digests=self._records.true_digests,
            fresh_marks=self._already,
        )

    def _is_in_place(self, item: Work) -> bool:
        """Return whether the journal says "done" and the environment really holds the result."""
        return (
            self._journal.done_fingerprints().get(item.step.label) == item.fingerprint
            and {canonicalize_name(name) for name in item.leaves} <= self._intact
            and all(self._holds_result(action) for action in item.actions)
        )

    def _holds_result(self, action: Action) -> bool:
        if isinstance(action, Write):
            try:
                return files.read_own(Path(action.path)) == action.text.encode()
            except OSError:
                return False
        is_about_us = isinstance(action, Run) and action.is_about(str(self._generation))
        return not (self._is_bare and is_about_us)

    def _keep(self, item: Work) -> StepResult:
        return self._end(item.result("kept"))

    def _end(self, result: StepResult) -> StepResult:
        self._results[result.number] = result
        self._events(StepDone(result=result))
        return result

    def _carry_out(self, item: Work, ahead: Fetch | None = None) -> None:
        interruption.raise_pending()
        began = time.monotonic()
        step = item.step
        self._clean = None
        work.unmark_complete(self._state)
        self._events(StepStarted(number=step.number, name=step.name, title=step.title))
        self._note("started", item)
        leaves = {canonicalize_name(name) for name in item.leaves}
        # Files to fetch only for what is not installed already.
        actions = (
            self._missing(action) if isinstance(action, Fetch) else action
            for action in item.actions
        )
        try:
            commands = self._carrier.carry_out(step, actions, ahead)
            interruption.raise_pending()
            installed = survey.installed_versions(self._generation).keys()
            if missing := sorted(leaves - installed):
                raise StepFailed(
                    f"its commands ended well, but {', '.join(missing)} is missing",
                    where=f"step {step.label}",
                )
        except Failure as failure:
            seconds = time.monotonic() - began
            # The cause may be what uv had unpacked, and the next run must not meet it again.
            self._forget_unpacked()
            # On a full disk the journal's "started" is enough.
            with contextlib.suppress(OSError):
                self._note("failed", item)
            self._end(item.result("failed", seconds=seconds, problem=failure.what))
            if isinstance(failure, StepFailed):
                failure.step = step.number
            raise
        self._note("done", item, commands)
        # A step may remove what a later one has installed.
        self._intact = (self._intact & installed) | leaves
        self._end(item.result("done", seconds=time.monotonic() - began))

    def _missing(self, fetch: Fetch) -> Fetch:
        """Return the part of a Fetch whose distributions are not installed."""
        installed = {
            pin.wheel.sha256
            for pin in self._lock.pins
            if canonicalize_name(pin.name) in self._intact
        }
        return fetch.only(wheel for wheel in fetch.wheels if wheel.sha256 not in installed)

    def _note(
        self,
        event: Literal["started", "done", "failed"],
        item: Work,
        commands: tuple[str, ...] = (),
    ) -> None:
        self._journal.write(
            event, item.step.label, item.fingerprint, self._carrier.folder.name, commands
        )

    def _complete(self, *, was_complete: bool) -> list[StepResult]:
        """Read every byte, install again what differs, and mark the environment as complete."""
        self._is_bare = False  # every step has ended by now
        for _ in range(_ATTEMPTS):
            self._forget_unpacked()
            result = self._clean or self._survey()
            if self._records.remember(result.damaged):
                result = self._survey()
            missing = sorted(
                {canonicalize_name(pin.name) for pin in self._lock.pins} - result.intact.keys()
            )
            if not missing:
                break
            self._remove(result.damaged, was_installed=True)
            self._intact -= set(missing)
            if all(map(self._is_in_place, self._work)):
                raise StepFailed(f"no step installs {', '.join(missing)}, which the lock names")
            for item in self._work:
                if not self._is_in_place(item):
                    self._carry_out(item)
        else:
            why = "; ".join(damaged.why for damaged in result.damaged)
            raise StepFailed(
                f"{', '.join(missing)} stays damaged: {why}", where=str(self._generation)
            )
        # A repair of an environment that was in use may have been killed.
        finished = was_complete or environments.was_current(self._generation)
        stray_files.refuse_strays(self._generation, result, self._events, finished=finished)
        own = marks.marks_of_other_files(self._generation, result.marks, self._written)
        # Installers sync nothing. Without this, a power cut after a repair empties `current`.
        files.sync_file_system(self._generation)
        files.remove_unfinished(self._state)
        marks.write(self._state, (*result.marks, *own))
        work.mark_complete(self._state, self._target)
        return self._in_order()

    def _in_order(self) -> list[StepResult]:
        return [self._results[number] for number in sorted(self._results)]
