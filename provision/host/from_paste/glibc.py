"""The version of glibc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found, Missing

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_VERSION: Final = re.compile(r"glibc-?(\d+\.\d+)")


def read(paste: Paste) -> Found | None:
    # Python names the glibc that its own file asks for, which may be older than that of the host.
    own, of_python = paste.values("libc version"), paste.values("python platform")
    found = paste.version("glibc", _VERSION, own) or paste.version("glibc", _VERSION, of_python)
    values = [*own, *of_python]
    if found or not values:
        return found
    return Found(
        Missing(why="absent", detail=f"{paste.name} names no glibc: {values[-1].text[:80]!r}"),
        (values[-1].number,),
    )
