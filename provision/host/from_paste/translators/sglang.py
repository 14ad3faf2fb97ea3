"""The output of `python -m sglang.check_env`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host.from_paste._lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN: Final = re.compile(r"(?:sglang|sgl[_-]kernel|CUDA Driver Version)\s*:")
_NAME: Final = re.compile(r"GPU (\d{1,3}(?:\s*,\s*\d{1,3})*)\s*:\s*(\S.*)")
_CAPABILITY: Final = re.compile(
    r"GPU (\d{1,3}(?:\s*,\s*\d{1,3})*) Compute Capability\s*:\s*(\d{1,2}\.\d)"
)
_TITLES: Final = {
    "Python": "Python version",
    "CUDA available": "Is CUDA available",
    "CUDA Driver Version": "Nvidia driver version",
    "PyTorch": "PyTorch version",
}
_PACKAGES: Final = re.compile(
    r"(vllm|flash[_-]attn|flashinfer(?:[_-]python)?|triton|transformers)\s*:\s*(\d\S*)"
)


def translate(lines: list[Line]) -> Iterator[Line]:
    if not any(_OWN.match(line.text) for line in lines):
        return
    capabilities = {
        number: match[2]
        for line in lines
        if (match := _CAPABILITY.match(line.text))
        for number in _numbers(match[1])
    }
    for line in lines:
        title, colon, value = line.text.partition(":")
        if colon and title.strip() in _TITLES:
            yield Line(line.number, f"{_TITLES[title.strip()]}: {value.strip()}")
        elif match := _NAME.match(line.text):
            for number in _numbers(match[1]):
                capability = capabilities.get(number)
                behind = f" (compute capability {capability})" if capability else ""
                yield Line(line.number, f"GPU {number}: {match[2]}{behind}")
        elif match := _PACKAGES.match(line.text):
            yield Line(line.number, f"[pip3] {match[1]}=={match[2]}")


def _numbers(text: str) -> list[str]:
    return [number.strip() for number in text.split(",")]
