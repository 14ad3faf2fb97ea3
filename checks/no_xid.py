"""Checks that the kernel log of this boot has no Xid of a GPU or of the driver itself."""

from __future__ import annotations

from collections import Counter

from . import _host
from ._contract import Context
from ._host import Observation

# Faults of programs are reported as Xids too, and say nothing of the GPU.
_OF_PROGRAMS = {13, 31, 43, 45, 68, 69, 137}
# By NVIDIA's catalogue these ask for nothing: a replaced row, a mode, or a note about another Xid.
_NOTES = {63, 106, 107, 154, 162}
_MEANINGS = {
    48: "a double-bit memory error",
    62: "the GPU's own firmware halted",
    64: "a row or page of memory could not be taken out of use",
    74: "an NVLink error",
    79: "the GPU has fallen off the bus",
    92: "many single-bit memory errors",
    94: "a memory error that was contained: the program that met it ended",
    95: "a memory error that was not contained",
    119: "the GPU's system processor (GSP) does not answer",
    120: "the GPU's system processor (GSP) failed",
}
_HINT = (
    "NVIDIA's list of Xids says what to do for each; "
    "if one returns after a reboot, ask the GPU's maker"
)


def look(context: Context) -> Observation:
    xids = _host.fact(context.facts, "xids")
    faults = [xid for xid in xids if xid["xid"] not in _OF_PROGRAMS | _NOTES]
    counts = Counter((xid["bus_id"], xid["xid"]) for xid in faults)
    return Observation(
        [
            f"Xid {number} at {bus_id}"
            + (f", {count} times" if count > 1 else "")
            + (f" ({_MEANINGS[number]})" if number in _MEANINGS else "")
            for (bus_id, number), count in counts.items()
        ],
        "no Xid of a GPU or the driver since the start; "
        f"{len(xids) - len(faults)} of programs, or notes",
        {"xids": xids[-20:]},
        _HINT,
    )


CHECK = _host.check(
    look,
    title="No Xid",
    proves="the kernel log since the start holds no Xid of a GPU or of the driver itself",
    weight="should",
)
