"""A file that may lie in parts beside its own name (x.whl.part-001 …): for media and doors that take no large files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CHUNK: Final = 1024 * 1024


def of(path: Path) -> list[Path]:
    """The file itself, or its parts in order; nothing where neither is there."""
    return [path] if path.exists() else sorted(path.parent.glob(f"{_literal(path.name)}.part-*"))


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


def split(path: Path, most: int) -> None:
    """Into parts of at most so many bytes; a file that is small enough stays as it is."""
    if path.stat().st_size <= most:
        return
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


def _literal(name: str) -> str:
    """A name for glob."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
