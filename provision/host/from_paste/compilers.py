"""The C compiler, and the C++ compiler that comes with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found
from provision.host.compilers import Compiler
from provision.host.from_paste._paste import NOTHING

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_VERSION: Final = re.compile(r"(?:\)\s+|^)(\d{1,2}(?:\.\d{1,2}){1,2})\b")


def read(paste: Paste) -> Found | None:
    values = paste.values("gcc version")
    if found := paste.version("gcc", _VERSION, values):
        return found._replace(
            value=(
                Compiler(name="g++", path="g++", family="gcc", language="c++", version=found.value),
                Compiler(name="gcc", path="gcc", family="gcc", language="c", version=found.value),
            )
        )
    if values and NOTHING.fullmatch(values[0].text):
        return Found((), (values[0].number,))
    return None
