"""A line of a log without colours, prefixes of loggers and workers, and odd letters."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from provision import logtext

LONGEST_EVIDENCE: Final = 400

_QUOTES: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u00b4", "'") | {"\u201c": '"', "\u201d": '"'}
)
_FRAME: Final = re.compile(
    r"^(?:#(?!\d)|[\s|>*\u2502\u2570\u256d\u2500\u2192\ufeff]+|[x\u00d7] (?=\S))+"
)
# What docker compose, Kubernetes, journald, workers, ranks and loggers write in front of a line.
_PREFIXES: Final = (
    logtext.POD,
    logtext.COMPOSE,
    logtext.TIME,
    re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,80} (?=[\w./-]{1,60}(?:\[\d+\])?:)"),
    re.compile(r"(?:ERROR|INFO|WARNING):\s+(?=\()"),
    logtext.WORKER,
    re.compile(r"\[rank\s?\d+\]:?\s*"),
    re.compile(
        r"(?:CRITICAL|ERROR|WARNING|INFO|DEBUG) \d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]]{1,80}\]|[\w./-]{1,60}:\d+\])\s*"
    ),
    re.compile(r"(?:CRITICAL|ERROR|WARNING|INFO|DEBUG) \[[\w./]{1,60}:\d+\]\s*"),
    re.compile(r"#\d+ \d+\.\d+ "),
)
_FEWEST_ESCAPES = 2


def parts(text: str) -> list[str]:
    """Return the lines inside a line: JSON logs and pastes escape line breaks."""
    if text.count(r"\n") < _FEWEST_ESCAPES:
        return [text]
    return text.replace(r"\r", "").replace(r"\t", " ").replace(r"\"", '"').split(r"\n")


def cleaned(text: str) -> str:
    """Return the message of a line, with single blanks and plain quotes."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    if "\x1b" in text:
        text = logtext.ANSI.sub("", text)
    text = _FRAME.sub("", text)
    for prefix in _PREFIXES:
        if match := prefix.match(text):
            text = text[match.end() :]
    return " ".join(text.split())


def harmless(text: str) -> str:
    """Return the text without letters that steer a terminal, cut to a readable length."""
    plain = "".join(letter for letter in text if letter.isprintable())
    return plain if len(plain) <= LONGEST_EVIDENCE else f"{plain[: LONGEST_EVIDENCE - 1]}…"
