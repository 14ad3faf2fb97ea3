"""The answers of the torch on a described host. No recording has them."""

from __future__ import annotations

from typing import Final

from provision.host._model import Fact, Missing, Readings, Unread


def parse(readings: Readings) -> bool:  # noqa: ARG001 - the contract's signature
    raise Unread(Missing(why="not read", detail="only a pasted text tells it"))


CUDA_AVAILABLE: Final = Fact[bool](name="cuda_available", sources=(), parse=parse)
