"""Checks that the commands of an environment name the folder in which they lie."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ._contract import Check, Context, Needs, Verdict

# Each file with the beginning of the line that names the environment.
_FILES = {"bin/vllm": "here=", "bin/activate": "VIRTUAL_ENV="}


def body(context: Context) -> Verdict:
    named = {file: _named(Path(context.prefix, file), start) for file, start in _FILES.items()}
    elsewhere = {
        file: folder for file, folder in named.items() if not _is_same(folder, context.prefix)
    }
    if not elsewhere:
        return Verdict(passed=True, summary=f"{' and '.join(named)} name this environment")
    file, folder = next(iter(elsewhere.items()))
    return Verdict(
        passed=False,
        summary=f"{file} names {folder or 'no folder'}: this environment was moved or copied",
        evidence={"named": named, "here": context.prefix},
        hint="move the folder back; or delete this environment, and ./setup.sh builds it here",
    )


def _named(path: Path, start: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return next(
            (shlex.split(line[len(start) :])[0] for line in lines if line.startswith(start)), ""
        )
    except (OSError, ValueError, IndexError):
        return ""


def _is_same(folder: str, other: str) -> bool:
    try:
        return bool(folder) and os.path.samefile(folder, other)
    except OSError:
        return False


CHECK = Check(
    title="Commands of this environment",
    proves="the commands of this environment start it and not another one",
    step=80,
    profile="passive",
    deadline_s=30,
    needs=Needs(lock=True),
    body=body,
)
