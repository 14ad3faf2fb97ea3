"""The environment variables that a text shows, one on a line, as collect_env prints them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._filesystem import ENVIRONMENT
from provision.host._model import Found
from provision.host._scrub import SECRET_NAME

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

_LINE: Final = re.compile(r"(?:export\s+)?([A-Z][A-Z0-9_]{2,60})=(.*)")


def read(paste: Paste) -> Found | None:
    variables: dict[str, str] = {}
    lines = []
    for line in paste.lines:
        variable = _LINE.fullmatch(line.text)
        if variable and ENVIRONMENT.fullmatch(variable[1]):
            is_secret = SECRET_NAME.fullmatch(variable[1])
            variables[variable[1]] = "set" if is_secret else variable[2].strip("\"'")
            lines.append(line.number)
    return Found(dict(sorted(variables.items())), tuple(lines)) if variables else None
