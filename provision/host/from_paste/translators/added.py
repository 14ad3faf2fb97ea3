"""Lines that a person added to a paste in the words of the short description."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from provision import yamltext
from provision.errors import UnreadableInput
from provision.host.from_description import DescribedGpu
from provision.host.from_paste._lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

_VALUES: Final = (
    (re.compile(r"driver:\s*[\"']?(\d{3,4}(?:\.\d+){0,3})"), "Nvidia driver version: {}"),
    (re.compile(r"python:\s*[\"']?(3\.\d{1,2}(?:\.\d{1,3})?)"), "Python version: {}"),
    (re.compile(r"glibc:\s*[\"']?(\d\.\d{1,3})"), "Libc version: glibc-{}"),
    (re.compile(r"machine:\s*[\"']?([a-z]\w+)"), "Architecture: {}"),
)
_GPUS: Final = re.compile(r"gpus:\s*(\[.*\])")
_MOST: Final = 1024


class _Gpus(msgspec.Struct, frozen=True):
    gpus: list[DescribedGpu]


def looks_like(line: str) -> bool:
    return _GPUS.match(line) is not None or any(pattern.match(line) for pattern, _ in _VALUES)


def translate(lines: list[Line]) -> Iterator[Line]:
    for line in lines:
        for pattern, words in _VALUES:
            if match := pattern.match(line.text):
                yield Line(line.number, words.format(match[1]))
        if match := _GPUS.fullmatch(line.text):
            yield from _gpus(match[1], line.number)


def _gpus(text: str, number: int) -> Iterator[Line]:
    try:
        document = yamltext.parse(f"gpus: {text}", "")
        kinds = yamltext.typed(document, _Gpus, "").gpus
    except UnreadableInput:  # then it is no line of a description
        return
    if not kinds:
        yield Line(number, "GPU models and configuration: No CUDA")
    each = (kind for kind in kinds for _ in range(max(0, min(kind.count, _MOST))))
    for index, kind in enumerate(each):
        behind = f" (compute capability {kind.cc})" if kind.cc else ""
        yield Line(number, f"GPU {index}: {kind.name}{behind}")
