"""Parse uv's explanation of a failed resolution into one sentence about the missing requirement."""

from __future__ import annotations

import re
from typing import Final

_HEADING: Final = "No solution found when resolving dependencies"
_LONGEST, _MOST_SHOWN = 8_000, 300  # letters: a longer text takes minutes to search
_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"
_VERSIONS = r"(?:[<>=!~]=?=?[\w.*+!]+(?:, ?[<>=!~]=?=?[\w.*+!]+)*)"
# The wordings of uv for a missing package; the first group is its name.
_MISSING = (
    re.compile(rf"there (?:is|are) no versions? of ({_NAME})({_VERSIONS})?"),
    re.compile(rf"({_NAME}) was not found in the "),
    re.compile(rf"only (?:the following versions of )?({_NAME}){_VERSIONS}? (?:is|are) available"),
)
_NO_WHEEL = re.compile(rf"({_NAME})({_VERSIONS})? has no (?:usable )?wheels")


def is_refusal(stderr: str) -> bool:
    """Return whether uv found that there is no solution; any other failure is a fault."""
    return _HEADING in stderr


def lacks_upload_dates(stderr: str) -> bool:
    """Return whether a cut-off day excluded packages because the index gives no upload dates."""
    return "was filtered by `exclude-newer`" in stderr and "was published at" not in stderr


def describe(stderr: str) -> str:
    """Describe a refusal in one sentence, such as "no certifi>=2026.10.19 on this index".

    If no known wording matches, use the first of uv's own reasons.
    """
    explanation = stderr.split(_HEADING, 1)[-1].split("\nhint:", 1)[0][:_LONGEST]
    # Without environment markers, extras and line breaks.
    plain = re.sub(r"\{[^}]*\}|\[[\w, -]*\](?=[<>=!~])", "", explanation)
    text = re.sub(r"\s+", " ", plain).strip()
    if no_wheel := _NO_WHEEL.search(text):
        return f"{no_wheel[1]}{no_wheel[2] or ''} has no wheel for this Python and platform"
    for pattern in _MISSING:
        if missing := pattern.search(text):
            name, versions = missing[1], (missing[2] if pattern.groups == 2 else None) or ""
            versions = versions or _required_versions(text, name)
            return f"no {name}{versions} on this index{_dependent(text, name)}"
    because = re.search(r"Because (.+?)(?:, we can conclude|$)", text)
    required = re.findall(r"because you require (.+?)(?:, we can conclude|\. |$)", text)
    reasons = [because[1] if because else text]
    words = " and ".join([*reasons, *(f"{package} is required" for package in required)])
    return words if len(words) <= _MOST_SHOWN else f"{words[:_MOST_SHOWN]} ..."


def _required_versions(text: str, name: str) -> str:
    match = re.search(rf"(?:depends? on|require) {re.escape(name)}({_VERSIONS})", text)
    return match[1] if match else ""


def _dependent(text: str, name: str) -> str:
    match = re.search(rf"({_NAME}){_VERSIONS}? depends? on {re.escape(name)}(?![\w-])", text)
    return f", which {match[1]} needs" if match else ""
