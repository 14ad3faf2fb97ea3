"""Environments side by side in a prefix, and the one link that says which of them is current."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import time
from pathlib import Path

import msgspec

from provision.doors import files
from provision.engine.journal import Journal
from provision.errors import WrongUsage

CURRENT = "current"
STATE = ".vllm-ready"
COMPLETE = "complete.json"
MADE = "made.json"
USED = "used"  # it was current once: a way back
TOOLKITS = "toolkits"  # for compiling an optional package; a killed compilation resumes in one
_TRASH = ".trash-"


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Written when a generation is begun. `number` counts up: clocks go backwards."""

    number: int
    made: str
    target: str


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One environment of a prefix."""

    id: str
    path: str
    number: int
    made: str
    target: str
    complete: bool
    current: bool


def found(prefix: Path) -> list[Generation]:
    """Every generation of a prefix, oldest first."""
    now = current(prefix)
    generations = []
    for record in prefix.glob(f"*/{STATE}/{MADE}"):
        folder = record.parents[1]
        if folder.is_symlink() or folder.name.startswith("."):
            continue
        try:
            made = msgspec.json.decode(record.read_bytes(), type=Made)
        except OSError:
            continue
        except msgspec.MsgspecError:  # spoilt: nobody's target, and the oldest, so that it can be seen and pruned
            made = Made(number=0, made="", target="")
        generations.append(
            Generation(
                id=folder.name,
                path=str(folder),
                number=made.number,
                made=made.made,
                target=made.target,
                complete=(folder / STATE / COMPLETE).is_file(),
                current=folder.name == now,
            )
        )
    return sorted(generations, key=lambda generation: generation.number)


def current(prefix: Path) -> str | None:
    """The id that `current` points at."""
    try:
        return os.readlink(prefix / CURRENT)
    except OSError:
        return None


def was_used(generation: Path) -> bool:
    """It was current once, and so finished, whatever a killed repair has left of it."""
    return (generation / STATE / USED).exists()


def refuse_foreign_current(prefix: Path) -> None:
    """Nothing is built for a link that could not be switched in the end."""
    if (prefix / CURRENT).exists() and not (prefix / CURRENT).is_symlink():
        raise WrongUsage(
            f"`{CURRENT}` is not the link to an environment that it was, but a folder or file of its own",
            where=str(prefix / CURRENT),
            hint="a copy that followed links made it: remove it, or name another place: --prefix DIR",
        )


def place(prefix: Path, target: str, run: str) -> Generation:
    """Where a target is built: where it stands or was begun, else in a new generation; a run's first has its name."""
    refuse_foreign_current(prefix)
    if there := standing(prefix, target):
        return there
    made = Made(
        number=max((generation.number for generation in found(prefix)), default=0) + 1,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        target=target,
    )
    own = new_id() if os.path.lexists(prefix / run) else run  # one run may make a second one beside its first
    files.write(prefix / own / STATE / MADE, msgspec.json.encode(made))
    return next(generation for generation in found(prefix) if generation.id == own)


def standing(prefix: Path, target: str) -> Generation | None:
    """Where a target stands or was begun."""
    same = [generation for generation in found(prefix) if generation.target == target]
    return max(same, key=lambda generation: (generation.current, generation.complete, generation.number), default=None)


def take_away_unbegun(generation: Path, run: str) -> bool:
    """Remove a generation that holds nothing but a run's own notes on it; whether it was one."""
    entries = Journal(generation / STATE).last().values()
    done_before = any(entry.what == "done" and entry.run != run for entry in entries)
    if done_before or {path.name for path in generation.iterdir()} != {STATE}:
        return False
    _remove(generation)
    return True


def new_id() -> str:
    """The id of a run, and of a generation that the run begins: a later one sorts after an earlier one."""
    second, nanoseconds = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second)) + f"-{nanoseconds * 2**16 // 10**9:04x}"


def switch(prefix: Path, id: str) -> None:  # noqa: A002 - the word that the listing has for it
    """Make a complete generation current, by one rename."""
    if not (prefix / id / STATE / COMPLETE).is_file():
        raise WrongUsage(
            f"generation {id} is not complete", where=str(prefix), hint="./setup.sh provision completes it"
        )
    refuse_foreign_current(prefix)
    if current(prefix) == id:
        return
    if not was_used(prefix / id):  # a full disk must not keep anybody from going back
        files.write(prefix / id / STATE / USED, "")
    _settle(prefix)
    for left in prefix.glob(f".{CURRENT}-*"):  # of a run that was killed between link and rename
        left.unlink()
    aside = prefix / f".{CURRENT}-{secrets.token_hex(4)}"
    aside.symlink_to(id, target_is_directory=True)
    os.replace(aside, prefix / CURRENT)
    handle = os.open(prefix, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot, and say so
            os.fsync(handle)
    finally:
        os.close(handle)


def rollback(prefix: Path, id: str | None = None) -> tuple[str, list[tuple[int, str]]]:  # noqa: A002 - likewise
    """Switch to a generation (the one in use before the current one); who still runs from the one that is left."""
    known = found(prefix)
    now = next((generation for generation in known if generation.current), None)
    if id is None:
        before = [
            generation.id
            for generation in known
            if was_used(Path(generation.path))
            and not generation.current
            and (now is None or generation.number < now.number)
        ]
        if not before:
            hint = "./setup.sh generations lists what there is; rollback ID takes that one"
            raise WrongUsage("no earlier generation was ever in use", where=str(prefix), hint=hint)
        id = before[-1]  # noqa: A001 - likewise
    elif id not in {generation.id for generation in known}:
        names = ", ".join(generation.id for generation in known) or "none"
        raise WrongUsage(f"there is no generation {id}", where=str(prefix), hint=f"there are: {names}")
    users = in_use(Path(now.path)) if now and now.id != id else []  # before: `current` names them too
    switch(prefix, id)
    return id, users


def prune(prefix: Path, keep: int, replaced: str | None = None) -> list[str]:
    """Remove the oldest generations beyond `keep` and what is unfinished; never what is current or in use.

    What was `replaced` by the same with something added goes before the oldest, which is the way back.

    The caller holds the prefix's lock, so that nothing is being built meanwhile.
    """
    for left in prefix.glob(f"{_TRASH}*"):
        shutil.rmtree(left, ignore_errors=True)
    gone = prunable(prefix, keep, replaced)
    for generation in gone:
        _remove(Path(generation.path))
    return [generation.id for generation in gone]


def prunable(prefix: Path, keep: int, replaced: str | None = None) -> list[Generation]:
    """The generations that `prune` would remove."""
    known = found(prefix)
    complete = sorted((one for one in known if one.complete), key=lambda one: one.id != replaced)
    spared = {generation.id for generation in complete[len(complete) - keep :]} if keep > 0 else set()
    return [one for one in known if not (one.current or one.id in spared or in_use(Path(one.path)))]


def _remove(generation: Path) -> None:
    trash = generation.with_name(f"{_TRASH}{generation.name}")
    os.replace(generation, trash)  # one moment it is whole, the next it is no generation
    shutil.rmtree(trash, ignore_errors=True)


def in_use(generation: Path) -> list[tuple[int, str]]:
    """Processes that run from a generation: started there, working there, or with its files mapped."""
    # The kernel says where files really lie; a command line says it as it was written, also by way of `current`.
    names = [generation] if current(generation.parent) != generation.name else [generation, generation.parent / CURRENT]
    inside = (os.fsencode(os.path.realpath(generation)) + b"/", *(os.fsencode(name) + b"/" for name in names))
    users = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) != os.getpid() and _runs_from(process, inside):
            with contextlib.suppress(OSError):
                users.append((int(process.name), (process / "comm").read_text(errors="replace").strip()))
    return sorted(users)


def _runs_from(process: Path, inside: tuple[bytes, ...]) -> bool:
    for link in ("exe", "cwd"):
        with contextlib.suppress(OSError):
            if (os.readlink(os.fsencode(process / link)) + b"/").startswith(inside):
                return True
    with contextlib.suppress(OSError):
        # An environment's python is a link: only the command line says from where it was started.
        here = os.readlink(os.fsencode(process / "cwd"))
        words = (process / "cmdline").read_bytes().split(b"\0")[:2]
        if words[0] and b"/" not in words[0]:  # found on the PATH of a shell in which the environment is active
            words.append(_on_path(process, words[0]))
        if any(os.path.normpath(os.path.join(here, word)).startswith(inside) for word in words):
            return True
    with contextlib.suppress(OSError):
        return inside[0] in (process / "maps").read_bytes()
    return False


def _on_path(process: Path, command: bytes) -> bytes:
    variables = (process / "environ").read_bytes().split(b"\0")
    path = next((each.removeprefix(b"PATH=") for each in variables if each.startswith(b"PATH=")), b"")
    return os.fsencode(shutil.which(os.fsdecode(command), path=os.fsdecode(path)) or b"")


def _settle(prefix: Path) -> None:
    """The link must not reach the disk before what it points at: a power cut would leave it pointing at holes."""
    handle = os.open(prefix, os.O_RDONLY | os.O_DIRECTORY)
    try:
        ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)
