"""vLLM's compiled operators by name, looked up when they are called: a missing one is a finding."""

from __future__ import annotations

import importlib
from typing import Any

_HOPPER = 9


def call(name: str, *tensors: Any, **settings: Any) -> Any:
    """Call an operator through vLLM's own wrapper if it has one, else as registered with torch."""
    # vLLM's wrapper knows the current signature.
    if wrapper := getattr(importlib.import_module("vllm._custom_ops"), name, None):
        return wrapper(*tensors, **settings)
    registered: Any = importlib.import_module("torch").ops._C  # noqa: SLF001 - torch's name for vLLM's operators
    return getattr(registered, name)(*tensors, **settings)


def flash_version(torch: Any, device: str, flash: Any) -> int:
    """Return 3 on Hopper and 2 elsewhere, of the versions in vLLM's own FlashAttention."""
    # vLLM chooses the same, except on GPUs of 10.x: there it takes 4, which is compiled on its
    # first call, if it takes FlashAttention at all. Version 3 has machine code for Hopper alone;
    # version 2 is PTX there, which takes a minute to compile.
    hopper = torch.cuda.get_device_capability(device)[0] == _HOPPER
    return 3 if hopper and flash.is_fa_version_supported(3) else 2


def is_compiled_by_driver(torch: Any, device: str) -> bool:
    """Return whether FlashAttention 2 is PTX for this GPU: its machine code is that of 8.x."""
    return device != "cpu" and torch.cuda.get_device_capability(device)[0] > _HOPPER
