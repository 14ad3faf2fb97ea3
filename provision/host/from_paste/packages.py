"""The versions of torch, vLLM and related packages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste

# Mostly only torch's own title has its local version, "+cu128".
_TITLES: Final = {"torch": "pytorch version", "vllm": "vllm version"}
_VERSION: Final = re.compile(r"^\d[\w.+!-]*\w")
_PACKAGE: Final = re.compile(r"\[(?:pip3?|conda)\]\s+([A-Za-z][\w.-]*)(?:==|\s+)(\d[\w.+!-]*)")


def read(paste: Paste) -> Found | None:
    versions: dict[str, str] = {}
    lines: list[int] = []
    contradictions = []
    for distribution, title in _TITLES.items():
        if found := paste.version(distribution, _VERSION, paste.values(title)):
            versions[distribution] = found.value
            lines += found.lines
            contradictions.append(found.contradiction)
    for line in paste.lines:
        if match := _PACKAGE.match(line.text):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            # Some builds tell their local version, such as "+das.opt1", only here.
            if name not in versions or match[2].startswith(f"{versions[name]}+"):
                versions[name] = match[2]
                lines.append(line.number)
    if not versions:
        return None
    return Found(versions, tuple(sorted(lines)), "; ".join(filter(None, contradictions)))
