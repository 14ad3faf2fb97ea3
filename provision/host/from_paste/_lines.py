"""The lines of a pasted text, without what pasting, logging and quoting added."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

from provision import logtext

if TYPE_CHECKING:
    from collections.abc import Iterator


class Line(NamedTuple):
    """One line, and its number in the text, from 1."""

    number: int
    text: str


_TAG: Final = re.compile(
    r"</?(?:details|summary|code|pre|p|br|b|div|span)\b[^<>\n]{0,200}>", re.IGNORECASE
)
_QUOTES: Final = "`\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"
_BEFORE: Final = re.compile(rf"^(?:[\s>|*{_QUOTES}\ufeff]|[-+](?=\s))*")
_AFTER: Final = f" \t|{_QUOTES}"
# What Ray, journald, docker, kubectl and loggers write in front of each line.
_PREFIXES: Final = (
    logtext.WORKER,
    logtext.POD,
    logtext.TIME,
    re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,80} [\w./-]{1,60}\[\d+\]:\s*"),
    logtext.COMPOSE,
)
_ENDS: Final = f" \t>*{_QUOTES}"
_ENDINGS: Final = tuple(re.compile(rf"\s{prefix.pattern}$") for prefix in _PREFIXES)
_ESCAPED: Final = {r"\n": "\n", r"\t": "\t", r"\"": '"', r"\r": ""}
_FEWEST_ESCAPES = 3
_CODE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_END_OF_JSON: Final = re.compile(r"\s*\"\s*\}\s*$")
# Titles of collect_env, to part the lines of a text that lost its line breaks.
_TITLES: Final = (
    r"OS|GCC version|Clang version|CMake version|Libc version|PyTorch version|Is debug build"
    r"|CUDA used to build PyTorch|ROCM used to build PyTorch|XPU used to build PyTorch"
    r"|Python version|Python platform|Is CUDA available|Is XPU available|CUDA runtime version"
    r"|CUDA_MODULE_LOADING set to|GPU models and configuration|GPU \d{1,3}|Nvidia driver version"
    r"|cuDNN version|HIP runtime version|MIOpen runtime version|Is XNNPACK available"
    r"|vLLM Version|ROCM Version|Neuron SDK Version|Intel GPU models"
)
_JOINED: Final = re.compile(rf"(?<![\w.-])(?=(?:{_TITLES})\s*:\s|MIG \d[cg]\.)", re.IGNORECASE)
_FEWEST_JOINED = 2  # titles in one line; one alone may stand in a sentence


def cleaned(text: str) -> list[Line]:
    """Return the lines without colours, quotes, lists, fences, HTML and prefixes of loggers.

    Full-width characters become plain ones; escaped and lost line breaks are put back.
    """
    plain = _TAG.sub(" ", logtext.ANSI.sub("", unicodedata.normalize("NFKC", text)))
    return [
        Line(number, _bare(part))
        for number, line in enumerate(plain.splitlines(), start=1)
        for part in _parts(line)
    ]


def _parts(line: str) -> Iterator[str]:
    if line.count(r"\n") >= _FEWEST_ESCAPES or _CODE.search(line) or _END_OF_JSON.search(line):
        line = _unescaped(line)
    for part in line.splitlines() or [""]:
        breaks = [match.start() for match in _JOINED.finditer(part)]
        if len(breaks) < _FEWEST_JOINED:
            yield _without_ending(part) if breaks else part
            continue
        for begin, end in zip([0, *breaks], [*breaks, len(part)], strict=True):
            # A headline between two sections stands behind the last value of the first, and so
            # does the prefix of the next line.
            yield _without_ending(part[begin:end].partition(" =====")[0])


def _unescaped(line: str) -> str:
    """Return the text of a string of JSON, or of a piece of one."""
    line = _CODE.sub(lambda code: chr(int(code[1], 16)), _END_OF_JSON.sub("", line))
    for escape, letter in _ESCAPED.items():
        line = line.replace(escape, letter)
    return logtext.ANSI.sub("", line)


def _without_ending(part: str) -> str:
    """Return a part without the prefixes of lines that followed it and said nothing."""
    longer = ""
    while part != longer:
        longer, part = part, f"{part.rstrip(_ENDS)} "
        for prefix in _ENDINGS:
            part = prefix.sub("", part)
        part = part.rstrip(_ENDS)
    return part


def _bare(line: str) -> str:
    line = _BEFORE.sub("", line)
    for prefix in _PREFIXES:
        if (match := prefix.match(line)) and match.end() < len(line):
            line = _BEFORE.sub("", line[match.end() :])
    return line.rstrip(_AFTER)
