"""An architecture that nvcc, ptxas or LLVM does not know: too new for it, or dropped by it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

_MESSAGES = (
    ("nvcc", r"Unsupported gpu architecture '?(?:compute|sm)_(?P<arch>\d{2,3})(?P<suffix>[af]?)"),
    ("nvcc", r"Value '?(?:compute|sm|lto)_(?P<arch>\d{2,3})(?P<suffix>[af]?)'? is not defined for option '?gpu-(?:architecture|code)"),
    ("ptxas", r"Value '?sm_(?P<arch>\d{2,3})(?P<suffix>[af]?)'? is not defined for option '?gpu-name"),
    ("llvm", r"'?sm_(?P<arch>\d{2,3})(?P<suffix>[af]?)'? is not a recognized processor"),
    ("toolkit", r"SM ?(?P<arch>\d{1,2})\.?x? requires CUDA ?(?:>=|at least) ?(?P<needs>\d+\.\d+)"),
    ("toolkit", r"sm_(?P<arch>\d{2,3})(?P<suffix>[af]?) requires CUDA ?(?:>=|at least) ?(?P<needs>\d+\.\d+)"),
    ("torch", r"Unknown CUDA arch \((?P<arch>[\d.]+)(?P<suffix>[af]?)(?:\+PTX)?\) or GPU not supported"),
)  # fmt: skip
_COMPILED = tuple((tool, re.compile(pattern, re.IGNORECASE)) for tool, pattern in _MESSAGES)
# The first toolkit that knows an architecture: NVIDIA's release notes and the nvcc wheels.
FIRST_TOOLKIT = {
    75: "10.0",
    80: "11.0",
    86: "11.1",
    87: "11.4",
    89: "11.8",
    90: "11.8",
    88: "13.0",
    100: "12.8",
    101: "12.8",
    120: "12.8",
    103: "12.9",
    121: "12.9",
    110: "13.0",
    107: "13.4",
}
_OLDEST = 75  # CUDA 13 dropped all below it


def read(text: str) -> Iterator[dict[str, str]]:
    for tool, pattern in _COMPILED:
        if match := pattern.search(text):
            groups = match.groupdict()
            number = int(groups["arch"].replace(".", ""))
            number = number * 10 if number < 20 and "." not in groups["arch"] else number
            yield {
                "tool": tool,
                "arch": f"{number}{groups.get('suffix') or ''}",
                "needs": groups.get("needs") or FIRST_TOOLKIT.get(number, ""),
                "age": "dropped" if number < _OLDEST else "new",
            }
            return


READER = Reader(
    name="arch",
    words=(
        *("unsupported gpu arch", "is not defined for option", "not a recognized processor"),
        *("requires cuda", "unknown cuda arch"),
    ),
    read=read,
)
