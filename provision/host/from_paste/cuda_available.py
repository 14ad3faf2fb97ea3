"""The answer of torch there: could it use a GPU?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_ANSWER: Final = re.compile(r"^(?:True|False)\b")


def read(paste: Paste) -> Found | None:
    found = paste.version("CUDA available", _ANSWER, paste.values("is cuda available"))
    return found and found._replace(value=found.value == "True")
