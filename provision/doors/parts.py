"""Files that may be split into parts (x.whl.part-001 …), for media that take no large files."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from provision.doors import digest


def paths(path: Path) -> list[Path]:
    """Return the file itself, or its parts in order; an empty list if neither exists."""
    return [path] if path.exists() else _parts(path)


def read(path: Path) -> Iterator[bytes]:
    """Yield the content piece by piece; raise FileNotFoundError if neither file nor parts exist."""
    for part in paths(path) or [path]:
        yield from digest.pieces(part)


def sha256(path: Path) -> str:
    return digest.of_pieces(read(path)).hexdigest()


def partial_path(path: Path, sha256: str) -> Path:
    """Return the path of an unfinished download.

    The hash is part of the name: the beginning of another file of the same name is never continued.
    """
    return path.with_name(f".{path.name}.{sha256[:16]}.part")


def split(path: Path, most: int) -> None:
    """Split a file into parts of at most `most` bytes.

    A file that is small enough stays as it is, and so do parts that are small enough.
    """
    whole = path.exists()
    for stale in _parts(path) if whole else ():
        # A killed run left them. The file is still whole, so they must not mix with the new parts.
        stale.unlink()
    if all(part.stat().st_size <= most for part in paths(path)):
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
    aside = path.with_name(f".{path.name}.joined")
    with aside.open("wb") as stream:
        stream.writelines(read(path))
    aside.replace(path)
    for part in _parts(path):
        part.unlink()


def _parts(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.part-*"))
