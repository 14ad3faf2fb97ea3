"""The switch of whoever works on the build of flash-attn: some of its sources are compiled, the others left out."""

from __future__ import annotations

import os
from typing import Final

ONLY: Final = "VLLM_READY_FLASH_ATTN_ONLY"  # CONTRIBUTING.md says what it does


def only() -> str:
    """A pattern of source names, "" for all; a wheel that was made under another one is none for this run."""
    return os.environ.get(ONLY, "")
