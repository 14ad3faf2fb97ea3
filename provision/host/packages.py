"""What of torch, vLLM and their kin lies in the user's active environment, by the names of its metadata."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import ALL, Fact, Probe, Readings

_PACKAGES = Probe("packages")


class _Seen(msgspec.Struct, frozen=True):
    environment: str
    distributions: list[str]


def parse(readings: Readings) -> dict[str, str]:
    """Name, as package indexes normalise it, to version; empty for an environment with none of them."""
    seen = msgspec.json.decode(readings.text(_PACKAGES), type=_Seen)
    pairs = (distribution.rpartition("-") for distribution in seen.distributions)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, dash, version in pairs if name and dash}


FACT = Fact[dict[str, str]](
    name="packages",
    title="Packages in the active environment",
    sources=(_PACKAGES,),
    parse=parse,
    moving=ALL,  # of whoever looks
)
