"""vLLM's compiled operators by their names, looked up when they are called: one that moved is a finding."""

from __future__ import annotations

import importlib
from typing import Any

_HOPPER = 9


def call(name: str, *given: Any, **settings: Any) -> Any:
    """By vLLM's own wrapper, which knows the signature, where it has one; and else as it is registered with torch."""
    wrappers = importlib.import_module("vllm._custom_ops")
    if wrapper := getattr(wrappers, name, None):
        return wrapper(*given, **settings)
    registered: Any = importlib.import_module("torch").ops._C  # noqa: SLF001 - torch's name for vLLM's operators
    return getattr(registered, name)(*given, **settings)


def flash_version(torch: Any, device: str, flash: Any) -> int:
    """FlashAttention 3 on Hopper and elsewhere 2, of those that vLLM's own package offers.

    As vLLM chooses it, but on GPUs of 10.x, where it takes 4 if it takes FlashAttention at all: that is compiled when
    it is first called. 3 has machine code for Hopper alone, and 2 is PTX there, which takes a minute to compile.
    """
    hopper = torch.cuda.get_device_capability(device)[0] == _HOPPER
    return 3 if hopper and flash.is_fa_version_supported(3) else 2


def compiled_by_driver(torch: Any, device: str) -> bool:
    """Whether FlashAttention 2 is PTX for this GPU: its machine code is that of 8.x."""
    return device != "cpu" and torch.cuda.get_device_capability(device)[0] > _HOPPER
