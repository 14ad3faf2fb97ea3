"""Changes that `watch` looks for: driver, kernel, GPUs, packages and files of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from packaging.version import InvalidVersion, Version

from provision.doors import files
from provision.engine import environments
from provision.engine.integrity import manifest as marks
from provision.engine.integrity import survey
from provision.errors import DONE
from provision.host import driver, gpus, kernel, record
from provision.host._model import Fact
from provision.report._host_changes import host_changes
from provision.report._model import Report

FACTS: Final[tuple[Fact[Any], ...]] = (driver.FACT, kernel.FACT, gpus.FACT)
_MOST_NAMES = 3  # of changed files in a message


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a host and its environment; `touched` are the changed files."""

    generation: str
    facts: dict[str, Any]
    packages: dict[str, str]
    touched: tuple[str, ...] = ()


class LastCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot and the outcome of the last checks; a state file of `watch`."""

    run: str
    exit_code: int
    seen: Snapshot


def snapshot(environment: Path) -> Snapshot:
    """Take a snapshot: a stat of every file and three facts.

    It uses no GPU memory and does not disturb running jobs.
    """
    manifest = marks.read(environment / environments.STATE)
    versions = survey.installed_versions(environment)
    return Snapshot(
        generation=environment.name,
        facts=record.record(network=False, paths={}, sources={}, facts=FACTS).facts,
        packages={name: ", ".join(map(_version, texts)) for name, texts in versions.items()},
        touched=tuple(sorted(marks.changed_files(environment, manifest))) if manifest else (),
    )


def last(path: Path, proof: Report | None) -> LastCheck | None:
    """Return the last check: the state file, or the verified run of the environment if newer."""
    stored = files.read_document(path, LastCheck)
    if proof and not (stored and stored.run >= proof.run):
        return LastCheck(run=proof.run, exit_code=DONE, seen=_of_report(proof))
    return stored


def differences(last: LastCheck | None, now: Snapshot) -> tuple[str, ...]:
    """Return the reasons to check again; none if nothing changed and the last checks passed."""
    if last is None:
        return ("nothing has verified this environment on this host",)
    if last.exit_code != DONE:
        return (f"run {last.run} ended with exit code {last.exit_code}",)
    before = last.seen
    if before.generation != now.generation:
        return (f"the current environment is {now.generation}, it was {before.generation}",)
    # Free memory and clocks change all the time and are no reason for a check.
    moving = {fact.name: fact.moving for fact in FACTS}
    facts_before, facts_now = _as_json(before.facts), _as_json(now.facts)
    reasons = [change.text for change in host_changes(facts_before, facts_now, moving)]
    reasons += [
        f"{name} {before.packages.get(name, 'none')} -> {now.packages.get(name, 'none')}"
        for name in sorted({*before.packages, *now.packages})
        if before.packages.get(name) != now.packages.get(name)
    ]
    new = [path for path in now.touched if path not in before.touched]
    if new:
        count = f"{len(new)} file{'s' if len(new) > 1 else ''} changed"
        reasons.append(f"{count}: {', '.join(Path(path).name for path in new[:_MOST_NAMES])}")
    elif set(before.touched) - set(now.touched):
        reasons.append("changed files are as they were verified again")
    return tuple(reasons)


def _of_report(report: Report) -> Snapshot:
    facts = report.host.get("facts") or {}
    return Snapshot(
        generation=report.generation,
        facts={fact.name: facts[fact.name] for fact in FACTS if fact.name in facts},
        packages={
            # Reports have the names of the lock, `survey` those of the dist-info folders.
            name.replace("_", "-").replace(".", "-").lower(): _version(package.version)
            for name, package in report.packages.items()
        },
    )


# The facts of a report come from JSON: those of now must have the same form to be compared.
def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    return dict(msgspec.json.decode(msgspec.json.encode(facts)))


def _version(text: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        return text
