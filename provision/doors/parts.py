"""A file that may lie in parts beside its own name (x.whl.part-001 …): for media and doors that take no large files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CHUNK: Final = 1024 * 1024


def of(path: Path) -> list[Path]:
    """The file itself, or its parts in order; nothing where neither is there."""
    return [path] if path.exists() else _parts(path)


def read(path: Path) -> Iterator[bytes]:
    """The content, piece by piece; FileNotFoundError where neither file nor parts are there."""
    lying = of(path) or [path]
    for part in lying:
        with part.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                yield piece


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for piece in read(path):
        digest.update(piece)
    return digest.hexdigest()


def begun(path: Path, sha256: str) -> Path:
    """Where a download of it lies, under its hash: what was begun of another file of this name is not gone on with."""
    return path.with_name(f".{path.name}.{sha256[:16]}.part")


def split(path: Path, most: int) -> None:
    """Into parts of at most so many bytes; a file that is small enough stays as it is, and so do such parts."""
    whole = path.exists()
    for stale in _parts(path) if whole else ():
        stale.unlink()  # of a run that was killed: the first of them would be followed by the rest of these
    if all(lying.stat().st_size <= most for lying in of(path)):
        return
    if not whole:
        _join(path)
    part, room, number = None, 0, 0
    for piece in read(path):
        rest = piece
        while rest:
            if not room:
                if part:
                    part.close()
                number, room = number + 1, most
                part = path.with_name(f"{path.name}.part-{number:03}").open("wb")
            assert part  # noqa: S101 - opened above
            part.write(rest[:room])
            rest, room = rest[room:], max(0, room - len(rest))
    if part:
        part.close()
    path.unlink()


def _join(path: Path) -> None:
    """One file again; the parts go when it is whole."""
    aside = path.with_name(f".{path.name}.joined")
    with aside.open("wb") as stream:
        stream.writelines(read(path))
    aside.replace(path)
    for part in _parts(path):
        part.unlink()


def _parts(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{_literal(path.name)}.part-*"))


def _literal(name: str) -> str:
    """A name for glob."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
