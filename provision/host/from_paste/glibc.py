"""The version of glibc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found, Missing

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_VERSION: Final = re.compile(r"glibc-?(\d+\.\d+)")


def read(paste: Paste) -> Found | None:
    values = paste.values("libc version", "python platform")
    found = paste.version("glibc", _VERSION, values)
    if found or not values:
        return found
    return Found(
        Missing(why="absent", detail=f"{paste.name} names no glibc: {values[-1].text[:80]!r}"),
        (values[-1].number,),
    )
