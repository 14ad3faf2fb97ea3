"""The machine, or the system where it is not Linux."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_MACHINE: Final = re.compile(
    r"(?<![A-Za-z0-9])(x86_64|aarch64|ppc64le|s390x|riscv64|amd64|arm64)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
# Debian's kernels are called "amd64" and "arm64" on x86_64 and aarch64.
_OTHER_NAMES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_WITHOUT_WHEELS: Final = {
    "Windows": re.compile(r"(?:Microsoft )?Windows\b"),
    "macOS": re.compile(r"mac ?os", re.IGNORECASE),
}


def read(paste: Paste) -> Found | None:
    # On Windows and macOS the processor does not matter: vLLM has no wheel for either.
    for system, name in _WITHOUT_WHEELS.items():
        for value in paste.values("python platform", "os"):
            if name.match(value.text):
                return Found(system, (value.number,))
    for title in ("python platform", "os", "architecture"):
        words = [
            (match[1].lower(), value.number)
            for value in paste.values(title)
            for match in _MACHINE.finditer(value.text)
        ]
        if words:
            by_kernel = (word for word in words if word[0] not in _OTHER_NAMES)
            word, line = next(by_kernel, words[0])
            return Found(_OTHER_NAMES.get(word, word), (line,))
    return None
