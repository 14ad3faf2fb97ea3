"""Whether ECC has met no error that it could not correct, and no memory waits to be replaced."""

from __future__ import annotations

from typing import Any

from . import _host
from ._contract import Check, Context
from ._host import Found

# Of these ECC is off as they are sold, or not there at all.
_WITHOUT_ECC = ("GeForce", "RTX", "TITAN")
_SAID = {
    "remap_failed": "a row of memory could not be replaced: the GPU is a case for its maker",
    "remap_pending": "a row of memory waits to be replaced: a GPU reset or reboot does it",
    "pages_pending": "a page of memory waits to be retired: a reboot does it",
    "uncorrected": "uncorrected memory errors since the driver was loaded",
}


def look(context: Context) -> Found:
    gpus = _host.used(context)
    unseen = "ECC is off: memory errors pass unseen"
    off = [(gpu["id"], unseen) for gpu in gpus if gpu["ecc"] is False and _sold_with(gpu)]
    if all(gpu["integrated"] or (gpu["ecc"] is not True and not _sold_with(gpu)) for gpu in gpus):
        return Found([], "these GPUs have no ECC, or it is off as they are sold: nothing counts errors")
    counted = _host.used(context, "gpu_memory_errors")
    wrong = [(each["id"], said) for each in counted for field, said in _SAID.items() if each[field]]
    evidence = {"counts": {each["id"]: {field: each[field] for field in each if field != "id"} for each in counted}}
    hint = "nvidia-smi -q -d ECC,ROW_REMAPPER,PAGE_RETIREMENT names the counts; dmesg | grep -i xid what was met"
    holds = "no memory error that was not corrected, and no repair is waiting"
    return Found(_host.by_value(wrong + off), holds, evidence, hint)


def _sold_with(gpu: dict[str, Any]) -> bool:
    return not any(word in gpu["name"] for word in _WITHOUT_ECC) and not gpu["vgpu"] and not gpu["integrated"]


CHECK = Check(
    name="gpu_memory_sound",
    title="GPU memory",
    proves="ECC met no uncorrectable error since the driver was loaded, and no row or page waits to be replaced",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
