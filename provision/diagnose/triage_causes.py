"""causes.json of triage: the causes as patterns that need nothing but Python's `re`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provision.diagnose import literals
from provision.diagnose._model import Cause, Form
from provision.diagnose.signals import xid

# Patterns in place of the structured readers, which triage cannot import.
_OF_SIGNALS: dict[tuple[str, str], str] = {
    (
        "xid",
        "hardware",
    ): rf"\bXid\b[^\n]{{0,40}}?[ :](?:{'|'.join(map(str, xid.numbers('hardware')))}),",
    ("library", "cudart"): r"libcudart\.so\.\d+(?:\.\d+)?: cannot open",
    ("library", "torch-cuda"): r"lib(?:torch_cuda|c10_cuda)\.so: cannot open",
    ("library", "driver"): r"libcuda\.so\.1: cannot open",
    ("symbol", "flash-attn"): r"flash_attn_[23]_cuda\S*: undefined symbol",
    ("symbol", "vllm"): r"vllm/_\w*C\S*: undefined symbol: _Z",
    ("symbol", "nccl"): r"undefined symbol: nccl",
    ("symbol", "nvjitlink"): r"undefined symbol: __nvJitLink",
    ("memory", "free"): r"Free memory on device .{0,80} on startup",
    (
        "arch",
        "nvcc|toolkit",
    ): r"Unsupported gpu architecture .(?:compute|sm)_(?:7[5-9]|[89]\d|1\d\d)",
}


def document(causes: Mapping[str, Cause]) -> dict[str, Any]:
    """Return what triage knows of each cause; forms that need a described host are left out."""
    return {
        name: {
            "summary": cause.cause,
            "fix": [fix.line for fix in cause.fix],
            "proof": cause.proof,
            "forms": list(_forms(cause)),
        }
        for name, cause in causes.items()
    }


def _forms(cause: Cause) -> Iterator[dict[str, Any]]:
    for form in cause.shows:
        pattern = form.pattern or _of_signal(form)
        if pattern and not form.host:
            beside = {
                key: text
                for key, text in (("beside", form.beside), ("without", form.without))
                if text
            }
            words = sorted(literals.required(pattern))
            yield {"pattern": pattern, "words": words, "confidence": form.confidence, **beside}


def _of_signal(form: Form) -> str:
    keys = ((form.signal, wanted) for wanted in form.values.values())
    return next((_OF_SIGNALS[key] for key in keys if key in _OF_SIGNALS), "")
