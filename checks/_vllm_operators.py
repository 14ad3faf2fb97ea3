"""vLLM's compiled operators by their names, looked up when they are called: one that moved is a finding."""

from __future__ import annotations

import importlib
from typing import Any


def call(name: str, *given: Any, **settings: Any) -> Any:
    """By vLLM's own wrapper, which knows the signature, where it has one; and else as it is registered with torch."""
    wrappers = importlib.import_module("vllm._custom_ops")
    if wrapper := getattr(wrappers, name, None):
        return wrapper(*given, **settings)
    registered: Any = importlib.import_module("torch").ops._C  # noqa: SLF001 - torch's name for vLLM's operators
    return getattr(registered, name)(*given, **settings)
