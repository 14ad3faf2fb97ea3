"""NVML readings, taken in a child with a deadline: a hang or a crash of NVML never reaches us."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, Literal

from provision.doors import process
from provision.doors.reading import Reading

_CHILD: Final = Path(__file__).with_name("nvml_child.py")

# Error codes of NVML; every other code is a failure.
_OUTCOMES: Final[dict[int, Literal["absent", "refused"]]] = {4: "refused", 12: "absent"}


def read(deadline_s: float = 10.0) -> Reading:
    """Return NVML's answer as JSON, or the reason why there is none.

    A failed reading keeps the values that were read before the failure.
    """
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
    return Reading(
        outcome=_OUTCOMES.get(error["code"], "failed"),
        text=line,
        detail=f"NVML error {error['code']}: {error['text']}",
    )


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _ending(finished: process.Finished) -> str:
    """Return how the child ended, with the last line of its traceback.

    The other lines are left out: they hold paths of this user.
    """
    last = finished.last_line()
    return f"the child that reads NVML {finished.ending}" + (f": {last}" if last else "")
