"""Whether the kernel log of this boot has no Xid that tells of a GPU's or the driver's own trouble."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found

# What a program does wrong is reported too: these say nothing of the GPU.
_OF_PROGRAMS = {13, 31, 43, 45, 68, 69, 94}
_MEANINGS = {
    48: "a double-bit memory error",
    62: "the GPU's own firmware halted",
    63: "a row or page of memory was taken out of use",
    64: "a row or page of memory could not be taken out of use",
    74: "an NVLink error",
    79: "the GPU has fallen off the bus",
    92: "many single-bit memory errors",
    95: "a memory error that was not contained",
    119: "the GPU's system processor (GSP) does not answer",
    120: "the GPU's system processor (GSP) failed",
}


def look(context: Context) -> Found:
    xids = _host.fact(context.facts, "xids")
    counts: dict[tuple[str, int], int] = {}
    for each in xids:
        if each["xid"] not in _OF_PROGRAMS:
            key = each["bus_id"], each["xid"]
            counts[key] = counts.get(key, 0) + 1
    problems = [
        f"Xid {xid} at {bus_id}" + (f", {count} times" if count > 1 else "") + _meaning(xid)
        for (bus_id, xid), count in counts.items()
    ]
    of_programs = sum(each["xid"] in _OF_PROGRAMS for each in xids)
    holds = f"no Xid of a GPU or the driver since the start; of programs: {of_programs}"
    hint = "NVIDIA's list of Xids says what each asks for; one that returns after a reboot is for the GPU's maker"
    return Found(problems, holds, {"xids": xids[-20:]}, hint)


def _meaning(xid: int) -> str:
    return f" ({_MEANINGS[xid]})" if xid in _MEANINGS else ""


CHECK = Check(
    name="no_xid",
    title="No Xid",
    proves="the kernel log since the start holds no Xid that tells of a GPU or the driver itself",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
