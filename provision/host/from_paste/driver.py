"""The version of the NVIDIA driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host import driver
from provision.host._model import Found, Missing
from provision.host.from_paste import gpus
from provision.host.from_paste._paste import NOTHING

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_TITLE: Final = "nvidia driver version"
_VERSION: Final = re.compile(r"\d[\d.]*\d")


def read(paste: Paste) -> Found | None:
    values = paste.values(_TITLE)
    versions = [
        line._replace(text=version) for line in values if (version := driver.version_in(line.text))
    ]
    if found := paste.version("driver", _VERSION, versions):
        return found._replace(value=driver.Driver(version=found.value))
    if not values or gpus.lists(paste):  # GPUs were listed: there is a driver of unknown version
        return None
    return Found(
        Missing(
            why="absent" if NOTHING.fullmatch(values[0].text) else "unparsable",
            detail=f"{paste.name} says {values[0].text[:40]!r}",
        ),
        (values[0].number,),
    )
