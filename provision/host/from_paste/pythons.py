"""The Python that ran the program whose output was pasted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host import pythons
from provision.host._model import Found

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_VERSION: Final = re.compile(r"\d\.\d{1,2}(?:\.\d{1,2})?(?![\d.])")


def read(paste: Paste) -> Found | None:
    found = paste.version("python", _VERSION, paste.values("python version"))
    return found and found._replace(value=(pythons.Python(version=found.value),))
