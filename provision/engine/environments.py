"""The environments of a prefix, and the link `current` to the one in use."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path

import msgspec

from provision.doors import files
from provision.engine import processes
from provision.engine.journal import Journal
from provision.errors import NotWritable, WrongUsage

CURRENT = "current"
STATE = ".vllm-ready"
COMPLETE = "complete.json"
MADE = "made.json"
USED = "used"  # the number of the last switch to this environment; `rollback` returns to it
TOOLKITS = "toolkits"  # for compiling an optional package; a killed build resumes there
_TRASH = ".trash-"


class Creation(msgspec.Struct, frozen=True, kw_only=True):
    """The file that is written when an environment is begun.

    `number` gives the order of environments, because clocks go backwards.
    """

    number: int
    made: str
    target: str


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """One environment of a prefix."""

    id: str
    path: str
    number: int
    made: str
    target: str
    complete: bool
    current: bool


def list_environments(prefix: Path) -> list[Environment]:
    """List every environment of a prefix, oldest first."""
    in_use_id = current_id(prefix)
    environments = []
    for record in prefix.glob(f"*/{STATE}/{MADE}"):
        folder = record.parents[1]
        # `current` is a link to one of them, and a hidden folder is being removed.
        if folder.is_symlink() or folder.name.startswith("."):
            continue
        try:
            content = files.read_own(record)
        except OSError:
            continue
        # If damaged, listed as the oldest and without a target, so that it can be pruned.
        made = files.decode_document(content, Creation) or Creation(number=0, made="", target="")
        environments.append(
            Environment(
                id=folder.name,
                path=str(folder),
                number=made.number,
                made=made.made,
                target=made.target,
                complete=(folder / STATE / COMPLETE).is_file(),
                current=folder.name == in_use_id,
            )
        )
    return sorted(environments, key=lambda environment: environment.number)


def current_id(prefix: Path) -> str | None:
    try:
        return os.readlink(prefix / CURRENT)
    except OSError:
        return None


def was_current(environment: Path) -> bool:
    """Return whether an environment was ever current, and therefore was finished once."""
    return (environment / STATE / USED).exists()


def refuse_foreign_current(prefix: Path) -> None:
    """Raise WrongUsage if `current` is not a link: a build could not switch it at its end."""
    if (prefix / CURRENT).exists() and not (prefix / CURRENT).is_symlink():
        raise WrongUsage(
            f"`{CURRENT}` is a folder or file instead of a link to an environment",
            where=str(prefix / CURRENT),
            hint="a copy that follows links makes such a folder: remove it, or use --prefix DIR",
        )


def find_or_begin(prefix: Path, target: str, run: str) -> Environment:
    """Return the environment with this target, or begin a new one that is named after the run."""
    refuse_foreign_current(prefix)
    if existing := find_by_target(prefix, target):
        return existing
    # A number, because the clock may have been set back since the last one was begun.
    made = Creation(
        number=max((environment.number for environment in list_environments(prefix)), default=0)
        + 1,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        target=target,
    )
    # A run that builds a second environment beside its first needs another id for it.
    new = new_id() if os.path.lexists(prefix / run) else run
    files.write(prefix / new / STATE / MADE, msgspec.json.encode(made))
    return next(environment for environment in list_environments(prefix) if environment.id == new)


def find_by_target(prefix: Path, target: str) -> Environment | None:
    """Return the best environment with this target: current before complete before newest."""
    return max(
        (environment for environment in list_environments(prefix) if environment.target == target),
        key=lambda environment: (environment.current, environment.complete, environment.number),
        default=None,
    )


def remove_if_unbegun(environment: Path, run: str) -> bool:
    """Remove an environment in which only this run has written its state; return whether it did."""
    done_before = any(
        entry.what == "done" and entry.run != run
        for entry in Journal(environment / STATE).last_entries().values()
    )
    if done_before or {path.name for path in environment.iterdir()} != {STATE}:
        return False
    _remove(environment)
    return True


def new_id() -> str:
    """Return an id for a run and its environment; later ids sort after earlier ones."""
    second, nanoseconds = divmod(time.time_ns(), 10**9)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
    return f"{moment}-{nanoseconds * 2**16 // 10**9:04x}"


def switch(prefix: Path, id: str) -> None:  # noqa: A002 - the listing calls it so
    """Make a complete environment current by one rename."""
    if not (prefix / id / STATE / COMPLETE).is_file():
        raise WrongUsage(
            f"environment {id} is not complete",
            where=str(prefix),
            hint="./setup.sh provision completes it",
        )
    refuse_foreign_current(prefix)
    if current_id(prefix) == id:
        return
    _number_switch(prefix, id)
    # The link must not reach the disk before its target: a power cut would leave an empty one.
    files.sync_file_system(prefix)
    for leftover in prefix.glob(f".{CURRENT}-*"):  # of a run that was killed before its rename
        leftover.unlink()
    # A link cannot be changed in place: a new one is renamed over it.
    aside = prefix / f".{CURRENT}-{secrets.token_hex(4)}"
    aside.symlink_to(id, target_is_directory=True)
    os.replace(aside, prefix / CURRENT)
    with contextlib.suppress(OSError):  # the link is in place already
        files.sync_folder(prefix)


def _number_switch(prefix: Path, id: str) -> None:  # noqa: A002 - as above
    """Number this switch, so that `rollback` finds the environment that was in use before."""
    number = max(_last_switch(environment)[0] for environment in list_environments(prefix)) + 1
    try:
        files.write_own(prefix / id / STATE / USED, str(number))
    except NotWritable:
        if not was_current(prefix / id):
            raise
        # A full disk must not prevent a rollback.


def _last_switch(environment: Environment) -> tuple[int, int]:
    """Return the number of the last switch to an environment; older versions wrote none."""
    try:
        return int(files.read_own(Path(environment.path) / STATE / USED)), environment.number
    except (OSError, ValueError):
        return 0, environment.number


def rollback(
    prefix: Path,
    id: str | None = None,  # noqa: A002 - the listing calls it so
) -> tuple[str, list[tuple[int, str]]]:
    """Switch to an environment, by default to the one in use before the current one.

    Return its id and the processes that still run from the environment that is left.
    """
    known = list_environments(prefix)
    left = next((environment for environment in known if environment.current), None)
    if id is None:
        before = [
            environment.id
            for environment in sorted(known, key=_last_switch)
            if was_current(Path(environment.path)) and not environment.current
        ]
        if not before:
            raise WrongUsage(
                "no other environment was ever in use",
                where=str(prefix),
                hint="./setup.sh generations lists all environments; rollback ID switches to one",
            )
        id = before[-1]  # noqa: A001 - as above
    elif id not in {environment.id for environment in known}:
        names = ", ".join(environment.id for environment in known) or "none"
        raise WrongUsage(
            f"there is no environment {id}",
            where=str(prefix),
            hint=f"existing environments: {names}",
        )
    # Looked for before the switch, while `current` in their command lines still means this one.
    users = processes_using(Path(left.path)) if left and left.id != id else []
    switch(prefix, id)
    return id, users


def prune(
    prefix: Path, keep: int, replaced: str | None = None, *, keep_begun: bool = False
) -> list[str]:
    """Remove unfinished environments and the oldest ones beyond `keep`; return their ids.

    The current environment and those in use stay, with `keep_begun` also the one that the next run
    resumes. The `replaced` environment, whose successor is the same with something added, goes
    first: older ones are the way back. The caller holds the prefix's lock, so that nothing is being
    built.
    """
    for leftover in prefix.glob(f"{_TRASH}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    removed = list_prunable(prefix, keep, replaced, keep_begun=keep_begun)
    for environment in removed:
        _remove(Path(environment.path))
    return [environment.id for environment in removed]


def list_prunable(
    prefix: Path, keep: int, replaced: str | None = None, *, keep_begun: bool = False
) -> list[Environment]:
    """List the environments that `prune` would remove."""
    known = list_environments(prefix)
    complete = sorted(
        (environment.id for environment in known if environment.complete),
        key=lambda name: name != replaced,
    )
    spared = set(complete[len(complete) - keep :]) if keep > 0 else set()
    if keep_begun and (resumed := begun_last(known)):
        spared.add(resumed.id)
    return [
        environment
        for environment in known
        if not environment.current
        and environment.id not in spared
        and not processes_using(Path(environment.path))
    ]


def begun_last(known: list[Environment]) -> Environment | None:
    """Return the environment that the next run resumes: the newest, if it is not complete."""
    return known[-1] if known and not known[-1].complete else None


def _remove(environment: Path) -> None:
    # Renamed first: a removal that is killed halfway leaves no damaged environment.
    trash = environment.with_name(f"{_TRASH}{environment.name}")
    os.replace(environment, trash)
    shutil.rmtree(trash, ignore_errors=True)


def processes_using(environment: Path) -> list[tuple[int, str]]:
    """List the processes that run from an environment, as (process id, command name)."""
    is_current = current_id(environment.parent) == environment.name
    folders = (environment, environment.parent / CURRENT) if is_current else (environment,)
    return processes.using(*folders)
