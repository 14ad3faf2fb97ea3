"""Read the start of vLLM, in the words of every release: memory, tokens, refusals."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = r"([\d,]+(?:\.\d+)?)"
# Figure: the ways in which releases from 0.6 on print it. The last line with it counts.
_FIGURES: dict[str, tuple[str, ...]] = {
    "weights": (
        rf"[Mm]odel loading took {_NUMBER} ?Gi?B",
        rf"[Ll]oading model weights took {_NUMBER} ?Gi?B",
        rf"model weights take {_NUMBER} ?Gi?B",
    ),
    "activation": (rf"PyTorch activation peak memory takes {_NUMBER} ?Gi?B",),
    "non_torch": (rf"non_torch_memory takes {_NUMBER} ?Gi?B",),
    "kv_cache": (
        rf"Available KV cache memory: {_NUMBER} GiB",
        rf"reserved for KV Cache is {_NUMBER} ?Gi?B",
        rf"(?:Explicitly|Auto) set \({_NUMBER}/[\d.]+\) GiB for KV cache",
    ),
    "cuda_graphs": (rf"Graph capturing finished in .* took {_NUMBER} GiB",),
    "tokens": (rf"\b\w+ KV cache size: {_NUMBER} tokens",),
    "blocks": (rf"# \w+ blocks: {_NUMBER},",),
    "concurrency": (rf"Maximum concurrency for [\d,]+ tokens per request: {_NUMBER}x",),
}
_PATTERNS = {name: [re.compile(way) for way in ways] for name, ways in _FIGURES.items()}
_READY = re.compile(r"Application startup complete|Uvicorn running on")
_ERROR = re.compile(r"\b(?:ValueError|RuntimeError|NotImplementedError|OutOfMemoryError): (.+)")
_LONGEST = 2000  # letters of a line that are looked at
# A refusal by a rule or by memory, unlike a proof that could not run.
_REFUSES = re.compile(
    r"KV cache|cache blocks|divisible|max_model_len|max_num_seqs|compute capability|out of memory"
    r"|not supported|Bfloat16|Free memory|No available memory|derived max",
    re.IGNORECASE,
)


def is_ready(line: str) -> bool:
    """Return whether the server answers from this line on."""
    return _READY.search(line[:_LONGEST]) is not None


def read(lines: Iterable[str]) -> dict[str, float]:
    """Return every figure that these lines name."""
    found: dict[str, float] = {}
    for line in lines:
        for name, patterns in _PATTERNS.items():
            for pattern in patterns:
                if match := pattern.search(line[:_LONGEST]):
                    found[name] = float(match[1].replace(",", ""))
    return found


def refusal(lines: Iterable[str]) -> str:
    """Return the reason for which vLLM refused to start, or ""."""
    reasons = [match[1] for line in lines if (match := _ERROR.search(line[:_LONGEST]))]
    return next((reason for reason in reasons if _REFUSES.search(reason)), "")
