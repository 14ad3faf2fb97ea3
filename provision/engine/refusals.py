"""Reads what uv says when it cannot resolve: one sentence that names the requirement that is missing."""

from __future__ import annotations

import re
from typing import Final

_HEADING: Final = "No solution found when resolving dependencies"
_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"
_VERSIONS = r"(?:[<>=!~]=?=?[\w.*+!]+(?:, ?[<>=!~]=?=?[\w.*+!]+)*)"
_MISSING = (
    re.compile(rf"there (?:is|are) no versions? of ({_NAME})({_VERSIONS})?"),
    re.compile(rf"({_NAME}) was not found in the "),
    re.compile(rf"only (?:the following versions of )?({_NAME}){_VERSIONS}? (?:is|are) available"),
)
_NO_WHEEL = re.compile(rf"({_NAME})({_VERSIONS})? has no (?:usable )?wheels")


def is_refusal(stderr: str) -> bool:
    """Whether uv looked at everything and found no solution; everything else is a fault, not an answer."""
    return _HEADING in stderr


def gives_no_dates(stderr: str) -> bool:
    """Whether a cut-off day shut out packages of which the index does not say when they came."""
    return "was filtered by `exclude-newer`" in stderr and "was published at" not in stderr


def sentence(stderr: str) -> str:
    """ "no certifi>=2026.10.19 on this index", or what comes nearest to it in uv's own words."""
    text = _plain(stderr)
    if no_wheel := _NO_WHEEL.search(text):
        return f"{no_wheel[1]}{no_wheel[2] or ''} has no wheel for this Python and platform"
    for pattern in _MISSING:
        if missing := pattern.search(text):
            name, versions = missing[1], (missing[2] if pattern.groups == 2 else None) or ""
            return f"no {name}{versions or _asked(text, name)} on this index{_for(text, name)}"
    because = re.search(r"Because (.+?)(?:, we can conclude|$)", text)
    asked = re.findall(r"because you require (.+?)(?:, we can conclude|\. |$)", text)
    return " and ".join([because[1] if because else text[:300], *(f"{one} is asked for" for one in asked)])


def _plain(stderr: str) -> str:
    """The explanation without hints, markers and line breaks."""
    explained = stderr.split(_HEADING, 1)[-1].split("\nhint:", 1)[0]
    return re.sub(r"\s+", " ", re.sub(r"\{[^}]*\}|\[[\w, -]*\](?=[<>=!~])", "", explained)).strip()


def _asked(text: str, name: str) -> str:
    """The versions of a package that somebody asks for."""
    found = re.search(rf"(?:depends? on|require) {re.escape(name)}({_VERSIONS})", text)
    return found[1] if found else ""


def _for(text: str, name: str) -> str:
    """Who asks for it, where that is not the user."""
    found = re.search(rf"({_NAME}){_VERSIONS}? depends? on {re.escape(name)}(?![\w-])", text)
    return f", which {found[1]} needs" if found else ""
