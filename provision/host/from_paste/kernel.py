"""The release of the kernel, from Python's name of the platform or from `uname -a`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from provision.host._model import Found
    from provision.host.from_paste._paste import Paste

_RELEASE: Final = re.compile(r"^Linux[- ](?:\S+ )?(\d+\.\d+[\w.+-]*?)(?:-(?:x86_64|aarch64)| )")


def read(paste: Paste) -> Found | None:
    programs = [line for line in paste.lines if line.text.startswith("Linux ")]
    return paste.version("kernel", _RELEASE, [*paste.values("python platform"), *programs])
