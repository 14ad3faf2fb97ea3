"""NVML, read in a child with a deadline: a hang, a crash or an old library never reaches us."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, Literal

from provision.doors import process
from provision.doors.reading import Reading

_CHILD: Final = Path(__file__).with_name("nvml_child.py")

# NVML's own error codes; every other one is a failure.
_OUTCOMES: Final[dict[int, Literal["absent", "refused"]]] = {4: "refused", 12: "absent"}


def read(deadline_s: float = 10.0) -> Reading:
    """NVML's answer as JSON, or why there is none; a failed reading keeps what it said before it failed."""
    finished = process.run([sys.executable, "-I", str(_CHILD)], deadline_s=deadline_s)
    if finished.timed_out:
        return Reading(outcome="timed out", detail=f"NVML did not answer within {deadline_s:g} s")
    line = next((line for line in reversed(finished.stdout.splitlines()) if line.strip()), "")
    document = _decoded(line)
    if finished.status != 0 or document is None:
        return Reading(outcome="failed", detail=_ending(finished))
    error = document.get("error")
    if error is None:
        return Reading(outcome="ok", text=line)
    detail = f"NVML error {error['code']}: {error['text']}"
    return Reading(outcome=_OUTCOMES.get(error["code"], "failed"), text=line, detail=detail)


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _ending(finished: process.Finished) -> str:
    """How the child ended. Only the last line of its traceback: the others hold paths of this user."""
    how = f"was ended by {finished.signal}" if finished.signal else f"ended with status {finished.status}"
    last = next((line for line in reversed(finished.stderr.splitlines()) if line.strip()), "")
    return f"the child that reads NVML {how}" + (f": {last.strip()}" if last else "")
