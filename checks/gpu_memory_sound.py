"""Checks that ECC met no uncorrectable error, and that no memory waits to be replaced."""

from __future__ import annotations

from typing import Any

from . import _host
from ._contract import Context
from ._host import Observation

# Sold without ECC, or with ECC switched off.
_WITHOUT_ECC = ("GeForce", "RTX", "TITAN")
_PROBLEMS = {
    "remap_failed": "a row of memory could not be replaced: return the GPU to its maker",
    "remap_pending": "a row of memory waits to be replaced: a GPU reset or reboot does it",
    "pages_pending": "a page of memory waits to be retired: a reboot does it",
    "uncorrected": "uncorrected memory errors since the driver was loaded",
}


def look(context: Context) -> Observation:
    gpus = _host.used_gpus(context)
    if all(gpu["integrated"] or (gpu["ecc"] is not True and not _has_ecc(gpu)) for gpu in gpus):
        return Observation(
            [], "these GPUs have no ECC, or it is off as they are sold: nothing counts errors"
        )
    off = "ECC is off: memory errors go unnoticed"
    texts = [(gpu["id"], off) for gpu in gpus if gpu["ecc"] is False and _has_ecc(gpu)]
    counters = _host.used_gpus(context, "gpu_memory_errors")
    wrong = [(row["id"], text) for row in counters for key, text in _PROBLEMS.items() if row[key]]
    return Observation(
        _host.group_by_text(wrong + texts),
        "no uncorrected memory error, and no repair is pending",
        {"counts": {row["id"]: {key: row[key] for key in row if key != "id"} for row in counters}},
        "nvidia-smi -q -d ECC,ROW_REMAPPER,PAGE_RETIREMENT shows the counts, "
        "dmesg | grep -i xid the errors",
    )


def _has_ecc(gpu: dict[str, Any]) -> bool:
    """Return whether this GPU is sold with ECC switched on."""
    sold_without = any(word in gpu["name"] for word in _WITHOUT_ECC)
    return not sold_without and not gpu["vgpu"] and not gpu["integrated"]


CHECK = _host.check(
    look,
    title="GPU memory",
    proves="ECC met no uncorrectable error since the driver was loaded, "
    "and no row or page waits to be replaced",
    weight="should",
)
