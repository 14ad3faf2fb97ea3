"""Checks that the package flash-attn 4 loads beside this torch and computes attention right."""

from __future__ import annotations

from . import _flash_attn_packages
from ._contract import Check

CHECK: Check = _flash_attn_packages.check(_flash_attn_packages.FOUR)
