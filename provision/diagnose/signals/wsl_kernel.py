"""A WSL kernel that is older than the first one with GPU support."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

_RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:[.-](\d+))?-microsoft", re.IGNORECASE)
FIRST = (5, 10, 43, 3)  # NVIDIA's guide for CUDA on WSL


def read(text: str) -> Iterator[dict[str, str]]:
    if match := _RELEASE.search(text):
        version = tuple(int(number or 0) for number in match.groups())
        yield {"version": match[0], "age": "old" if version < FIRST else "new"}


READER = Reader(name="wsl_kernel", words=("-microsoft",), read=read)
