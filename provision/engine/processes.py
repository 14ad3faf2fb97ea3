"""Find the processes of this host that run from a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def using(folder: Path, *links: Path) -> list[tuple[int, str]]:
    """List the processes that run from a folder, as (process id, command name).

    A process does so if it was started there, works there, or has mapped files of it. `links` lead
    to the folder.
    """
    # /proc shows real paths; a command line shows the path as typed, perhaps through a link.
    real = os.fsencode(os.path.realpath(folder)) + b"/"
    inside = (real, *(os.fsencode(path) + b"/" for path in (folder, *links)))
    users = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) != os.getpid() and _runs_from(process, inside):
            with contextlib.suppress(OSError):
                users.append(
                    (int(process.name), (process / "comm").read_text(errors="replace").strip())
                )
    return sorted(users)


def _runs_from(process: Path, inside: tuple[bytes, ...]) -> bool:
    for link in ("exe", "cwd"):
        with contextlib.suppress(OSError):
            if (os.readlink(os.fsencode(process / link)) + b"/").startswith(inside):
                return True
    with contextlib.suppress(OSError):
        # An environment's python is a link: only the command line shows where it was started.
        folder = os.readlink(os.fsencode(process / "cwd"))
        words = (process / "cmdline").read_bytes().split(b"\0")[:2]
        if words[0] and b"/" not in words[0]:  # started through PATH in an activated shell
            words.append(_on_path(process, words[0]))
        paths = (os.path.normpath(os.path.join(folder, word)) for word in words)
        if any(path.startswith(inside) for path in paths):
            return True
    # Only real paths appear among the mapped files.
    with contextlib.suppress(OSError):
        return inside[0] in (process / "maps").read_bytes()
    return False


def _on_path(process: Path, command: bytes) -> bytes:
    paths = (
        word.removeprefix(b"PATH=")
        for word in (process / "environ").read_bytes().split(b"\0")
        if word.startswith(b"PATH=")
    )
    path = os.fsdecode(next(paths, b""))
    return os.fsencode(shutil.which(os.fsdecode(command), path=path) or b"")
