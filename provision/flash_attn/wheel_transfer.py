"""flash-attn wheels out of the store into a folder, and from wherever the user has them into the store."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import msgspec

from provision.binary import wheel
from provision.doors import files, parts
from provision.errors import NotWritable, UnreadableInput, WrongUsage
from provision.flash_attn import inspect_wheel, wheel_store
from provision.flash_attn.inspect_wheel import Said
from provision.flash_attn.wheel_store import Kept
from provision.steps.wheel_folder import ASIDE, FOLDER, note

SUMS: Final = "SHA256SUMS"
_UNFINISHED: Final = (".flash_attn-", f".{SUMS}")
_OF_THE_DISK: Final = (errno.ENOSPC, errno.EDQUOT)


def chosen(prefix: Path, names: list[str]) -> list[Kept]:
    """The kept wheels in whose file names one of these occurs, wildcards allowed; all where none is given."""
    there = wheel_store.found(prefix)
    for name in names:
        if not any(_matches(one, name) for one in there):
            hint = f"there are: {', '.join(one.file for one in there) or 'none'}"
            raise WrongUsage(f"no kept wheel is named `{name}`", where=str(prefix / FOLDER), hint=hint)
    return [one for one in there if not names or any(_matches(one, name) for name in names)]


def _matches(one: Kept, name: str) -> bool:
    return fnmatch.fnmatchcase(one.file, f"*{name}*")


def exported(prefix: Path, folder: Path, wheels: list[Kept]) -> None:
    """Each with its note; the folder is new, empty or an earlier export, which is added to.

    Its sums come first: what is not there yet, or not whole, is told by them.
    """
    notes = {one.file: msgspec.json.encode(one.for_others) for one in wheels}
    with _told(folder, "name a folder elsewhere"):
        sums = _known_sums(folder)
        for one in wheels:
            sums |= {one.file: one.sha256, f"{one.file}.json": hashlib.sha256(notes[one.file]).hexdigest()}
        folder.mkdir(parents=True, exist_ok=True)
        for left in (path for path in folder.iterdir() if path.name.startswith(_UNFINISHED)):
            left.unlink()
        files.write(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
        for one in wheels:
            aside = folder / f".{one.file}.aside"
            _copy(wheel_store.place(prefix, one.file), aside)
            if parts.sha256(aside) != one.sha256:
                aside.unlink()
                raise UnreadableInput(
                    "is not as it was noted", where=str(wheel_store.place(prefix, one.file)), hint="delete it"
                )
            os.replace(aside, folder / one.file)
            files.write(folder / f"{one.file}.json", notes[one.file])


def _known_sums(folder: Path) -> dict[str, str]:
    """What an earlier export has put there; nothing of anybody else may lie there."""
    if not os.path.lexists(folder):
        return {}
    sums: dict[str, str] = {}
    if (folder / SUMS).is_file():
        lines = (line.partition("  ") for line in files.read_text(folder / SUMS).splitlines())
        sums = {name: digest for digest, _, name in lines}
    known = {SUMS, *sums}
    if not folder.is_dir() or any(
        path.name not in known and not path.name.startswith(_UNFINISHED) for path in folder.iterdir()
    ):
        raise WrongUsage("is neither empty nor an earlier export", where=str(folder), hint="name a new folder")
    return {name: digest for name, digest in sums.items() if (folder / name).exists()}


def offered(path: Path) -> list[Path]:
    """The flash-attn wheels that a path stands for: one, or all of a folder; a note there stands for its wheel."""
    if not path.is_dir():
        return [path]
    try:
        names = [one.name for one in path.iterdir() if one.name.startswith("flash_attn-")]
    except OSError as error:
        raise UnreadableInput(f"cannot be read: {error.strerror}", where=str(path), hint="name another") from None
    ours = sorted({name.removesuffix(".json") for name in names if name.endswith((".whl", ".whl.json"))})
    if not ours:
        raise UnreadableInput("holds no wheel of flash-attn", where=str(path), hint="name the file, or its folder")
    return [path / name for name in ours]


def imported(prefix: Path, path: Path, said: Said) -> tuple[Kept, bool]:
    """A wheel into the store, once it is what its name, its note and the user say; and whether that is news.

    The caller holds the prefix's lock. Nothing is looked at but the copy that is kept.
    """
    aside = prefix / FOLDER / ASIDE
    with _told(prefix / FOLDER, "the same command takes it then; or name another disk: --prefix DIR"):
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            copy = aside / unquote(path.name).rpartition("/")[2]  # wget leaves %2B in names
            _copy(path, copy)
            new = _seen(path, copy, said)
            there = next((one for one in wheel_store.found(prefix) if one.file == new.file), None)
            if there and wheel_store.is_whole(prefix, there):
                if there.sha256 != new.sha256:
                    place = wheel_store.place(prefix, there.file)
                    raise WrongUsage(
                        f"another wheel of this name is kept, {there.came}, and environments may be made of it",
                        where=str(path),
                        hint=f"where this one is to replace it, delete that first: {place}",
                    )
                if (there.torch, there.cuda) == (new.torch, new.cuda):
                    return there, False
            return wheel_store.keep(prefix, copy, new), True
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _seen(path: Path, copy: Path, said: Said) -> Kept:
    """What a copy is, by its note where the wheel has one; its hash is that of the copy."""
    digest, noted = parts.sha256(copy), _noted(path)
    if noted and (said.torch or said.cuda):
        raise _refused(path, "its note says what it is for: leave --torch and --cuda out, or delete the note")
    if noted and (noted.file, noted.sha256) != (copy.name, digest):
        raise _refused(path, "its note is of another content; copy both again, or delete the note if that is meant")
    try:
        truth = wheel.read(copy)
        found = inspect_wheel.as_noted(truth, noted) if noted else inspect_wheel.kept_as(truth, said)
    except ValueError as error:
        raise _refused(path, str(error)) from None
    return msgspec.structs.replace(found, sha256=digest, size=copy.stat().st_size)


def _refused(path: Path, why: str) -> UnreadableInput:
    return UnreadableInput(f"is not taken: {why}", where=str(path))


def _noted(path: Path) -> Kept | None:
    lies = note(path)
    if not lies.exists():
        return None
    try:
        return msgspec.json.decode(files.read_text(lies), type=Kept)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableInput(f"is no note of a kept wheel: {error}", where=str(lies)) from None


def _copy(source: Path, target: Path) -> None:
    try:
        stream = source.open("rb")
    except OSError as error:
        raise UnreadableInput(
            f"cannot be read: {error.strerror}",
            where=str(source),
            hint="name a wheel that exists and that you may read",
        ) from error
    with stream, target.open("xb") as copy:
        shutil.copyfileobj(stream, copy, 1024 * 1024)
        copy.flush()
        os.fsync(copy.fileno())


@contextlib.contextmanager
def _told(place: Path, way_out: str) -> Iterator[None]:
    """What goes wrong with a disk as a sentence."""
    try:
        yield
    except OSError as error:
        hint = f"free some space; {way_out}" if error.errno in _OF_THE_DISK else way_out
        raise NotWritable(f"cannot be written: {error.strerror or error}", where=str(place), hint=hint) from error
