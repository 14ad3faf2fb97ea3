"""The switch for work on the build of flash-attn: it compiles some of the sources only."""

from __future__ import annotations

import os
from typing import Final

ONLY: Final = "VLLM_READY_FLASH_ATTN_ONLY"  # described in CONTRIBUTING.md


def only() -> str:
    """Return the pattern of source names, "" for all. A run takes only wheels of its pattern."""
    return os.environ.get(ONLY, "")
