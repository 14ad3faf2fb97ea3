"""Export flash-attn wheels from the store to a folder, and import them from files and folders."""

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
from provision.flash_attn.inspect_wheel import StatedTarget
from provision.flash_attn.wheel_store import Kept
from provision.steps.wheel_folder import ASIDE, FOLDER
from provision.steps.wheel_folder import note as note_path

SUMS: Final = "SHA256SUMS"
# Prefixes of files that a killed export leaves behind.
_UNFINISHED: Final = (".flash_attn-", f".{SUMS}")
_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def select(prefix: Path, names: list[str]) -> list[Kept]:
    """Return the kept wheels whose file names contain one of the names; all if there are none.

    A name may have wildcards. Raise WrongUsage if a name matches nothing.
    """
    wheels = wheel_store.kept_wheels(prefix)
    matches = {
        name: [stored for stored in wheels if fnmatch.fnmatchcase(stored.file, f"*{name}*")]
        for name in names
    }
    for name in names:
        if not matches[name]:
            raise WrongUsage(
                f"no kept wheel is named `{name}`",
                where=str(prefix / FOLDER),
                hint=f"there are: {', '.join(stored.file for stored in wheels) or 'none'}",
            )
    return [
        stored for stored in wheels if not names or any(stored in matches[name] for name in names)
    ]


def export(prefix: Path, folder: Path, wheels: list[Kept]) -> None:
    """Copy wheels and their notes into a new or empty folder, or add them to an earlier export."""
    # `for_others` leaves out the address that a wheel was downloaded from.
    notes = {stored.file: msgspec.json.encode(stored.for_others) for stored in wheels}
    with _disk_errors(folder, "name a folder elsewhere"):
        sums = _read_sums(folder)
        for stored in wheels:
            sums |= {
                stored.file: stored.sha256,
                f"{stored.file}.json": hashlib.sha256(notes[stored.file]).hexdigest(),
            }
        folder.mkdir(parents=True, exist_ok=True)
        for path in (path for path in folder.iterdir() if path.name.startswith(_UNFINISHED)):
            path.unlink()
        # The sums come first: after a kill they show which files are missing or incomplete.
        files.write(
            folder / SUMS,
            "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())),
        )
        for stored in wheels:
            source, aside = (
                wheel_store.path_of(prefix, stored.file),
                folder / f".{stored.file}.aside",
            )
            _copy(source, aside)
            if parts.sha256(aside) != stored.sha256:
                aside.unlink()
                raise UnreadableInput(
                    "is damaged: its SHA-256 is not the noted one",
                    where=str(source),
                    hint="delete it",
                )
            os.replace(aside, folder / stored.file)
            files.write(folder / f"{stored.file}.json", notes[stored.file])


def _read_sums(folder: Path) -> dict[str, str]:
    """Return the sums of an earlier export; raise WrongUsage if any other file is there."""
    if not os.path.lexists(folder):
        return {}
    sums: dict[str, str] = {}
    if (folder / SUMS).is_file():
        lines = (line.partition("  ") for line in files.read_text(folder / SUMS).splitlines())
        sums = {name: digest for digest, _, name in lines}
    known = {SUMS, *sums}
    if not folder.is_dir() or any(
        path.name not in known and not path.name.startswith(_UNFINISHED)
        for path in folder.iterdir()
    ):
        raise WrongUsage(
            "is neither empty nor an earlier export", where=str(folder), hint="name a new folder"
        )
    return {name: digest for name, digest in sums.items() if (folder / name).exists()}


def list_wheels(path: Path) -> list[Path]:
    """Return the flash-attn wheels at a path: the file itself, or all wheels of a folder."""
    if not path.is_dir():
        return [path]
    try:
        names = [file.name for file in path.iterdir() if file.name.startswith("flash_attn-")]
    except OSError as error:
        raise UnreadableInput(
            f"cannot be read: {error.strerror}", where=str(path), hint="name another folder"
        ) from None
    # A note without its wheel is listed as the wheel, so that the import reports it as missing.
    wheels = {name.removesuffix(".json") for name in names if name.endswith((".whl", ".whl.json"))}
    if not wheels:
        raise UnreadableInput(
            "holds no wheel of flash-attn", where=str(path), hint="name the file, or its folder"
        )
    return [path / name for name in sorted(wheels)]


def import_wheel(prefix: Path, path: Path, statement: StatedTarget) -> tuple[Kept, bool]:
    """Import a wheel and return its entry, with False if the store had it already.

    Raise UnreadableInput if its contents, its name, its note and `statement` do not agree. The
    caller holds the prefix's lock.
    """
    if path.exists() and not path.is_file():  # a pipe or device would be read without an end
        raise _refusal(path, "it is no file")
    aside = prefix / FOLDER / ASIDE
    with _disk_errors(
        prefix / FOLDER, "give the same command again, or name another disk: --prefix DIR"
    ):
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            # Only the copy is read from here on, so the original may change meanwhile.
            copy = aside / unquote(path.name).rpartition("/")[2]  # wget leaves %2B in names
            _copy(path, copy)
            entry = _inspect(path, copy, statement)
            if stored := _already_kept(prefix, path, entry):
                return stored, False
            return wheel_store.keep(prefix, copy, entry), True
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _already_kept(prefix: Path, path: Path, entry: Kept) -> Kept | None:
    """Return the same wheel of the store; raise WrongUsage if another one has its name."""
    stored = next(
        (stored for stored in wheel_store.kept_wheels(prefix) if stored.file == entry.file), None
    )
    if stored is None or not wheel_store.is_intact(prefix, stored):
        return None
    if stored.sha256 != entry.sha256:
        # Environments may have been made of the kept one, and are repaired from it.
        raise WrongUsage(
            f"another wheel of this name is kept, {stored.origin_text},"
            " and environments may use it",
            where=str(path),
            hint=f"to replace it, delete that first: {wheel_store.path_of(prefix, stored.file)}",
        )
    return stored if (stored.torch, stored.cuda) == (entry.torch, entry.cuda) else None


def _inspect(path: Path, copy: Path, statement: StatedTarget) -> Kept:
    """Return the store's entry for a copied wheel, checked against the note beside the original."""
    digest, note = parts.sha256(copy), _read_note(path)
    if note and (statement.torch or statement.cuda):
        raise _refusal(
            path, "its note names them: leave --torch and --cuda out, or delete the note"
        )
    if note and (note.file, note.sha256) != (copy.name, digest):
        raise _refusal(
            path,
            "its note is for other contents; copy both again, or delete the note if that is meant",
        )
    try:
        truth = wheel.read(copy)
        entry = (
            inspect_wheel.inspect_with_note(truth, note)
            if note
            else inspect_wheel.inspect(truth, statement)
        )
    except ValueError as error:
        raise _refusal(path, str(error)) from None
    return msgspec.structs.replace(entry, sha256=digest, size=copy.stat().st_size)


def _refusal(path: Path, why: str) -> UnreadableInput:
    return UnreadableInput(f"cannot be imported: {why}", where=str(path))


def _read_note(path: Path) -> Kept | None:
    path = note_path(path)
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(files.read_text(path), type=Kept)
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(
            f"is not the note of a kept wheel: {error}", where=str(path)
        ) from None


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
def _disk_errors(place: Path, way_out: str) -> Iterator[None]:
    """Turn an error of the disk into a failure that names the place and a way out."""
    try:
        yield
    except OSError as error:
        raise NotWritable(
            f"cannot be written: {error.strerror or error}",
            where=str(place),
            hint=f"free some space; {way_out}" if error.errno in _DISK_FULL else way_out,
        ) from error
