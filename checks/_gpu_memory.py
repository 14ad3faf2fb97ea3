"""GPU memory that no living process accounts for: the memory that a stopped server left behind."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable

# Memory of a process that ended may be freed some seconds later. A process that is left behind
# holds hundreds of MiB for its CUDA context alone; less is the driver's own.
_WAIT_S, _SPARE_MIB = 15.0, 256

UsedMib = dict[str, int]  # by the GPU's UUID


def unaccounted(ask: Callable[[str], list[list[str]]] | None = None) -> UsedMib:
    """Return used memory minus that of listed processes; empty without nvidia-smi or its answer."""
    ask = ask or query
    memory = {uuid: int(used) for uuid, used in _pairs(ask("--query-gpu=uuid,memory.used"))}
    for uuid, used in _pairs(ask("--query-compute-apps=gpu_uuid,used_memory")):
        if uuid in memory:
            memory[uuid] -= int(used)
    return memory


def _pairs(rows: list[list[str]]) -> list[list[str]]:
    # For a slice of a GPU nvidia-smi prints [N/A] instead of a number.
    return [row for row in rows if len(row) == 2 and row[1].isdigit()]


def query(option: str) -> list[list[str]]:
    """Return the table that nvidia-smi prints for an option, or [] if it cannot be run."""
    exe = shutil.which("nvidia-smi")
    if not exe:
        return []
    argv = [exe, option, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines()]


def describe_growth(
    before: UsedMib, ask: Callable[[], UsedMib] = unaccounted, wait_s: float = _WAIT_S
) -> str:
    """Return the GPUs that hold more than before, and still do after a while; else ""."""
    # If an invisible process had memory before (another container, a desktop, Windows), the
    # growth may be its own, so that GPU is not judged.
    before = {uuid: mib for uuid, mib in before.items() if mib <= _SPARE_MIB}
    until = time.monotonic() + wait_s
    while True:
        now = ask()
        growth = {uuid: now.get(uuid, 0) - mib for uuid, mib in before.items()}
        growth = {uuid: mib for uuid, mib in growth.items() if mib > _SPARE_MIB}
        if not growth or time.monotonic() > until:
            return "; ".join(
                f"{uuid} holds {mib} MiB more than before, and no living process has it"
                for uuid, mib in sorted(growth.items())
            )
        time.sleep(0.5)
