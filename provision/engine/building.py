"""One pass over the steps of a generation: keeps what stands, heals what is torn, proves the whole at the end."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Literal

import msgspec
from packaging.utils import canonicalize_name

from provision.doors import files, interruption
from provision.engine import environments
from provision.engine.actions import Carrier
from provision.engine.events import Note, StepDone, StepResult, StepStarted, Subscriber
from provision.engine.integrity import manifest as marks
from provision.engine.integrity import repair, stray_files, survey
from provision.engine.integrity.wrong_records import WrongRecords
from provision.engine.journal import Journal
from provision.errors import Failure, StepFailed, WrongUsage
from provision.steps.model import Action, Fetch, Lock, Run, Site, Step, Write

_ATTEMPTS = 3  # damage, what the wheel itself has wrong, and whole
SITE_PACKAGES = "site-packages"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One step with what it says for this generation."""

    step: Step
    actions: tuple[Action, ...]
    leaves: tuple[str, ...]
    fingerprint: str

    @property
    def fetches(self) -> bool:
        return any(isinstance(action, Fetch) for action in self.actions)


class Building:
    """Knows what a generation holds, and brings it step by step to what it is to hold."""

    def __init__(self, lock: Lock, site: Site, work: list[Work], carrier: Carrier, events: Subscriber) -> None:
        self._lock, self._work, self._carrier, self._events = lock, work, carrier, events
        self._generation, self._state, self._python = Path(site.generation), Path(site.state), Path(site.python)
        self._journal = Journal(self._state)
        self._written = frozenset(action.path for each in work for action in each.actions if isinstance(action, Write))
        self._results: dict[int, StepResult] = {}
        self._whole: set[str] = set()  # distributions that are there, whole, at the lock's version
        self._unpacked = Path(site.unpacked)
        self._records = WrongRecords(self._generation, self._state, events)
        self._read: survey.Survey | None = None  # every byte was read, all was well, nothing was changed since
        self._already: dict[str, marks.Mark] = {}  # what was read in this very run
        self._bare = False  # what belongs to no distribution (the interpreter's links, activate) is damaged

    def everything(self) -> list[StepResult]:
        """Whatever does not stand is carried out; where all of it stands, nothing is written."""
        was_complete = self._is_complete()
        manifest = marks.of_this_boot(self._state) if was_complete else None
        changed = marks.changed(self._generation, manifest) if manifest else []
        if (
            manifest
            and not changed
            and not self._replaced()
            and not stray_files.hooks(self._generation, manifest.files)
        ):
            return [self._keep(each) for each in self._work]
        self._heal(was_complete=was_complete, changed=changed)
        for each in self._work:
            if self._stands(each):
                self._keep(each)
            else:
                self._carry_out(each, ahead=self._fetched_next(each))
                self._read_ahead(each)
        return self._complete(was_complete=was_complete)

    def _fetched_next(self, before: Work) -> Fetch | None:
        """While a step's commands run, these wheels of the next one that needs any come."""
        later = [each for each in self._work[self._work.index(before) + 1 :] if not self._stands(each)]
        fetches = (action for each in later for action in each.actions if isinstance(action, Fetch))
        found = next(fetches, None)
        return found and self._lacking(found)

    def _read_ahead(self, before: Work) -> None:
        """And its files are read then; at the end only what is not the very same file is read again."""
        if before.fetches and any(each.fetches for each in self._work[self._work.index(before) + 1 :]):
            self._forget_unpacked()
            self._already = {mark.path: mark for mark in self._survey().marks}

    def part(self, first: int, last: int) -> list[StepResult]:
        """The steps from one number to another, also where they stand; complete when all the others stand too."""
        was_complete = self._is_complete()
        self._heal(was_complete=was_complete, changed=[])
        for each in self._work:
            if first <= each.step.number <= last:
                self._carry_out(each)
            elif each.step.number < first and not self._stands(each):
                raise WrongUsage(
                    f"step {first} builds on step {each.step.label}, which does not stand here",
                    hint=f"./setup.sh provision --from {each.step.number}",
                )
        if all(self._stands(each) for each in self._work):
            return self._complete(was_complete=was_complete)
        return self._in_order()

    def _is_complete(self) -> bool:
        try:
            done = msgspec.json.decode((self._state / environments.COMPLETE).read_bytes(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError):
            return False
        return done.get("fingerprint") == self._work[-1].fingerprint

    def _replaced(self) -> bool:
        """Whether a hand put another version beside or in place of a locked one."""
        there = survey.versions(self._generation)
        return any(len(there.get(canonicalize_name(pin.name), ())) != 1 for pin in self._lock.pins)

    def _heal(self, *, was_complete: bool, changed: list[str]) -> None:
        """Find what is torn and take it out, so that the installer does not believe it."""
        if was_complete:  # else a killed run goes on from what it had unpacked; at the end every byte is read
            self._forget_unpacked()
        site = f"/{SITE_PACKAGES}/"
        brought = {str(Path(path).relative_to(self._generation)) for path in self._written if self._holds(path)}
        self._bare = not self._python.exists() or any(site not in path and path not in brought for path in changed)
        done = self._journal.done()
        unfinished = [each for each in self._work if done.get(each.step.label) != each.fingerprint]
        found = repair.find(
            self._generation,
            self._lock,
            contents=was_complete,
            written=self._written,
            changed=changed,
            unfinished={canonicalize_name(name) for each in unfinished for name in each.leaves},
            known=self._records.known,
        )
        self._whole = set(found.whole)
        self._read = found if was_complete and not found.torn else None
        self._take_out(found.torn, looked_at=was_complete)

    def _holds(self, path: str) -> bool:
        return path.startswith(f"{self._generation}/")

    def _forget_unpacked(self) -> None:
        """What uv has unpacked goes before files are looked at, which are links to it, and before a repair."""
        shutil.rmtree(self._unpacked, ignore_errors=True)

    def _take_out(self, torn: tuple[survey.Torn, ...], *, looked_at: bool) -> None:
        """`looked_at`: every step had ended, so what is unlike its RECORD may be so in the wheel."""
        for each in torn:
            self._reopen()
            self._events(Note(text=f"{each.name} is torn and is installed anew: {each.why}"))
            self._whole.discard(each.name)
            if looked_at:
                self._records.taken_out(each)
            else:
                repair.take_out(self._generation, each)

    def _survey(self) -> survey.Survey:
        return survey.survey(
            self._generation,
            self._lock,
            contents=True,
            written=self._written,
            known=self._records.known,
            already=self._already,
        )

    def _reopen(self) -> None:
        """A generation that is worked on is not complete, whatever it was before."""
        (self._state / environments.COMPLETE).unlink(missing_ok=True)

    def _stands(self, each: Work) -> bool:
        """Done by the journal, and what it leaves is really there: believe the environment, not the marker."""
        return (
            self._journal.done().get(each.step.label) == each.fingerprint
            and {canonicalize_name(name) for name in each.leaves} <= self._whole
            and all(self._in_place(action) for action in each.actions)
        )

    def _in_place(self, action: Action) -> bool:
        if isinstance(action, Write):
            try:
                return Path(action.path).read_bytes() == action.text.encode()
            except OSError:
                return False
        return not (self._bare and isinstance(action, Run) and action.is_about(str(self._generation)))

    def _keep(self, each: Work) -> StepResult:
        return self._end(each, StepResult(number=each.step.number, name=each.step.name, outcome="kept"))

    def _end(self, each: Work, result: StepResult) -> StepResult:
        result = msgspec.structs.replace(result, fingerprint=each.fingerprint)
        self._results[each.step.number] = result
        self._events(StepDone(result=result))
        return result

    def _carry_out(self, each: Work, ahead: Fetch | None = None) -> None:
        interruption.look()
        began = time.monotonic()
        self._read = None
        self._reopen()
        self._events(StepStarted(number=each.step.number, name=each.step.name, title=each.step.title))
        self._note("started", each)
        leaves = {canonicalize_name(name) for name in each.leaves}
        result = StepResult(number=each.step.number, name=each.step.name, outcome="done")
        try:
            actions = tuple(self._lacking(action) if isinstance(action, Fetch) else action for action in each.actions)
            ran = self._carrier.carry_out(each.step, actions, ahead)
            interruption.look()
            there = survey.versions(self._generation).keys()
            if lacking := sorted(leaves - there):
                raise StepFailed(
                    f"its commands ended well, but {', '.join(lacking)} is not there", where=f"step {each.step.label}"
                )
        except Failure as failure:
            seconds = time.monotonic() - began
            with contextlib.suppress(OSError):  # on a full disk, that it was started is enough
                self._note("failed", each)
            self._end(each, msgspec.structs.replace(result, outcome="failed", problem=failure.what, seconds=seconds))
            raise
        self._note("done", each, ran)
        self._whole = (self._whole & there) | leaves  # a step may take out what a later one has brought
        self._end(each, msgspec.structs.replace(result, seconds=time.monotonic() - began))

    def _lacking(self, fetch: Fetch) -> Fetch:
        """Of files to fetch those whose distribution is not there already."""
        there = {pin.wheel.sha256 for pin in self._lock.pins if canonicalize_name(pin.name) in self._whole}
        return fetch.only(wheel for wheel in fetch.wheels if wheel.sha256 not in there)

    def _note(self, what: Literal["started", "done", "failed"], each: Work, ran: tuple[str, ...] = ()) -> None:
        self._journal.note(what, each.step.label, each.fingerprint, self._carrier.folder.name, ran)

    def _complete(self, *, was_complete: bool) -> list[StepResult]:
        """Read every byte; what does not agree is taken out and installed anew."""
        self._bare = False  # whatever it lacked, every step has ended by now
        for _ in range(_ATTEMPTS):
            self._forget_unpacked()
            found = self._read or self._survey()
            if self._records.learn(found.torn):
                found = self._survey()
            lacking = sorted({canonicalize_name(pin.name) for pin in self._lock.pins} - found.whole.keys())
            if not lacking:
                break
            self._take_out(found.torn, looked_at=True)
            self._whole -= set(lacking)
            if all(map(self._stands, self._work)):
                raise StepFailed(f"no step installs {', '.join(lacking)}, which the lock names")
            for each in self._work:
                if not self._stands(each):
                    self._carry_out(each)
        else:
            why = "; ".join(each.why for each in found.torn)
            raise StepFailed(f"{', '.join(lacking)} does not become whole: {why}", where=str(self._generation))
        finished = was_complete or environments.was_used(self._generation)  # a repair may have been killed
        stray_files.refuse(self._generation, found, self._events, finished=finished)
        itself = marks.of_the_environment_itself(self._generation, found.marks, self._written)
        marks.write(self._state, (*found.marks, *itself))
        files.write(
            self._state / environments.COMPLETE, msgspec.json.encode({"fingerprint": self._work[-1].fingerprint})
        )
        return self._in_order()

    def _in_order(self) -> list[StepResult]:
        return [self._results[number] for number in sorted(self._results)]
