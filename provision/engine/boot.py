"""The host's last boot: what a crash may have damaged was written before it."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> str:
    """Return the id that the kernel gave to this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
