"""The outputs of `pip list`, `pip freeze`, `uv pip list` and `conda list`, for a few packages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host.from_paste._lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES: Final = (
    r"torch|torchvision|torchaudio|vllm|triton|xformers|transformers"
    r"|flash[-_]attn(?:[-_]\d)?|flashinfer(?:[-_]\w+)?|nvidia[-_]\w+[-_]cu\d+|torch[-_]\w+"
    # of other accelerators
    r"|vllm[-_]\w+|libtpu|tpu[-_]inference|habana[-_][\w-]+|neuronx[-_]\w+|pytorch[-_]triton[-_]\w+"
    r"|triton[-_]xpu|amd[-_]aiter"
)
# A whole line: in a sentence such as "vllm 0.8.5 requires torch" more words follow.
_LINE: Final = re.compile(
    rf"({_NAMES})(?:\s*==\s*|\s+)(\d[\w.+!-]*)(?:\s+\S+){{0,2}}", re.IGNORECASE
)
_SENTENCE: Final = re.compile(r"\b(?:requires|has|is|depends|which|and|but|from)\b")


def translate(lines: list[Line]) -> Iterator[Line]:
    for line in lines:
        match = _LINE.fullmatch(line.text)
        if match and not _SENTENCE.search(line.text):
            yield Line(line.number, f"[pip3] {match[1]}=={match[2]}")
