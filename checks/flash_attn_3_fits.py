"""Whether the package flash-attn 3 fits this torch: it loads, and on its GPUs its numbers are those of attention."""

from __future__ import annotations

from . import _flash_attn_packages
from ._contract import Check

CHECK: Check = _flash_attn_packages.check(_flash_attn_packages.THREE)
