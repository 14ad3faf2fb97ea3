"""Small disks for a run, in a mount namespace of the test; skipped if that is not allowed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.small_up import CODE, Small

# Mount, give the commands of the first part, change the disk, give the same command again.
_SCRIPT = """
place=$1 options=$2 then=$3 before=$4; shift 4
mkdir -p "$place" && mount -t tmpfs -o "$options" none "$place" || exit 77
[ ! -e "$WANTED" ] || cp "$WANTED" "$place/.wanted.json" || exit 77
eval "$before"
"$@"; echo "first $?"
[ -n "$then" ] || exit 0
mount -o "remount,$then" "$place" || exit 77
"$@"; echo "then $?"
"""
# The disk had room when step 10 looked at it, and others fill it since.
FILLED_LATER = CODE.replace(
    "from provision.cli",
    "from provision.engine import needs; needs._enough = lambda *_: needs.NeedResult('', met=True)\nfrom provision.cli",
)
_UNSHARE = [
    "unshare",
    "--map-root-user",
    "--mount",
]  # no root is needed where the kernel lets users have namespaces


def on_a_disk(
    small: Small,
    place: Path,
    options: str,
    *words: str,
    then: str = "",
    before: str = "",
    env: Mapping[str, str] | None = None,
    code: str = FILLED_LATER,
) -> tuple[int, int | None, str]:
    """Return the exit codes on the disk and after its change, and the output before the change."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare, so no disk can be mounted here")
    wanted = small.prefix / ".wanted.json"
    more = (
        {"WANTED": str(wanted.rename(small.folder / "wanted.json"))}
        if place == small.prefix
        else {"WANTED": "/-"}
    )
    done = subprocess.run(
        [
            *_UNSHARE,
            "sh",
            "-c",
            _SCRIPT,
            "sh",
            str(place),
            options,
            then,
            before,
            *small.argv(*words, code=code),
        ],
        env={**small.environment, **(env or {}), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    if "first " not in done.stdout or done.returncode == 77:
        pytest.skip(f"no disk can be mounted here: {done.stdout.strip()}")
    printed, _, rest = done.stdout.partition("first ")
    first, _, after = rest.partition("\n")
    return int(first), int(after.rpartition("then ")[2]) if then else None, printed
