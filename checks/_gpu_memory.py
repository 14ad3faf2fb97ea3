"""What GPUs hold that no living process accounts for, as the driver tells: whether a server has left memory behind."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable

_WAIT_S, _SPARE_MIB = 15.0, 256

# MiB by the GPU's UUID.
Held = dict[str, int]


def held(ask: Callable[[str], list[list[str]]] | None = None) -> Held:
    """Used memory less what is listed with a process; empty where there is no nvidia-smi or it does not say."""
    ask = ask or asked
    found = {uuid: int(used) for uuid, used in _rows(ask("--query-gpu=uuid,memory.used"))}
    for uuid, used in _rows(ask("--query-compute-apps=gpu_uuid,used_memory")):
        if uuid in found:
            found[uuid] -= int(used)
    return found


def _rows(rows: list[list[str]]) -> list[list[str]]:
    return [row for row in rows if len(row) == 2 and row[1].isdigit()]  # a slice of a GPU has no number


def asked(what: str) -> list[list[str]]:
    exe = shutil.which("nvidia-smi")
    if not exe:
        return []
    argv = [exe, what, "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [[word.strip() for word in line.split(",")] for line in said.splitlines()]


def more_than(before: Held, ask: Callable[[], Held] = held, wait_s: float = _WAIT_S) -> str:
    """Which GPU holds more than before, and goes on doing so.

    Where somebody out of sight had memory before (another container, a desktop, Windows), it may be that which grew.
    """
    before = {uuid: was for uuid, was in before.items() if was <= _SPARE_MIB}
    until = time.monotonic() + wait_s
    while True:
        now = ask()
        more = {uuid: now[uuid] - was for uuid, was in before.items() if now.get(uuid, 0) - was > _SPARE_MIB}
        if not more or time.monotonic() > until:
            return "; ".join(
                f"{uuid} holds {mib} MiB more than before, and no living process has it"
                for uuid, mib in sorted(more.items())
            )
        time.sleep(0.5)
