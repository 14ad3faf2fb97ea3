"""What `watch` looks at, cheaply: driver, kernel, GPUs, and whether the environment's files are as they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from packaging.version import InvalidVersion, Version

from provision.engine import environments
from provision.engine.integrity import manifest as marks
from provision.engine.integrity import survey
from provision.errors import DONE
from provision.host import driver, gpus, kernel, record
from provision.host._model import Fact
from provision.report._host_changes import host_changes
from provision.report._model import Report

FACTS: Final[tuple[Fact[Any], ...]] = (driver.FACT, kernel.FACT, gpus.FACT)
_NAMED = 3  # files that changed, in a sentence


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A host and its environment at one look; `touched` are files that are not as they were verified."""

    generation: str
    facts: dict[str, Any]
    packages: dict[str, str]
    touched: tuple[str, ...] = ()


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen when checks were tried last, and how they ended."""

    run: str
    exit_code: int
    seen: Seen


def seen(generation: Path) -> Seen:
    """A stat for every file, and three facts: nothing that takes GPU memory or disturbs who computes."""
    manifest = marks.read(generation / environments.STATE)
    found = survey.versions(generation)
    return Seen(
        generation=generation.name,
        facts=record.record(network=False, paths={}, sources={}, facts=FACTS).facts,
        packages={name: ", ".join(map(_version, versions)) for name, versions in found.items()},
        touched=tuple(sorted(marks.changed(generation, manifest))) if manifest else (),
    )


def last(place: Path, proved: Report | None) -> Look | None:
    """The newer one of the look that was kept and the run that verified what is current."""
    try:
        kept = msgspec.json.decode(place.read_bytes(), type=Look)
    except (OSError, msgspec.MsgspecError):
        kept = None
    if proved and not (kept and kept.run >= proved.run):
        return Look(run=proved.run, exit_code=DONE, seen=_of_report(proved))
    return kept


def differences(last: Look | None, now: Seen) -> tuple[str, ...]:
    """Why checks are to be tried, in sentences; empty where all is as it was, and was good."""
    if last is None:
        return ("nothing has verified this environment on this host",)
    if last.exit_code != DONE:
        return (f"run {last.run} ended with exit code {last.exit_code}",)
    was = last.seen
    if was.generation != now.generation:
        return (f"the environment in use is {now.generation}, it was {was.generation}",)
    moving = {fact.name: fact.moving for fact in FACTS}
    said = [one.text for one in host_changes(_as_json(was.facts), _as_json(now.facts), moving)]
    said += [
        f"{name} {was.packages.get(name, 'none')} -> {now.packages.get(name, 'none')}"
        for name in sorted({*was.packages, *now.packages})
        if was.packages.get(name) != now.packages.get(name)
    ]
    new = [path for path in now.touched if path not in was.touched]
    if new:
        files = f"{len(new)} file{'s are not as they were' if len(new) > 1 else ' is not as it was'}"
        said.append(f"{files}: {', '.join(Path(path).name for path in new[:_NAMED])}")
    elif set(was.touched) - set(now.touched):
        said.append("files are as they were verified again")
    return tuple(said)


def _of_report(report: Report) -> Seen:
    facts = report.host.get("facts") or {}
    return Seen(
        generation=report.generation,
        facts={fact.name: facts[fact.name] for fact in FACTS if fact.name in facts},
        packages={_name(name): _version(one.version) for name, one in report.packages.items()},
    )


def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    return dict(msgspec.json.decode(msgspec.json.encode(facts)))


def _name(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").lower()


def _version(text: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        return text
