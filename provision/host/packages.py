"""torch, vLLM and related packages in the user's active environment, by their metadata."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import ALL, Fact, Probe, Readings

_PACKAGES = Probe("packages")


class _Active(msgspec.Struct, frozen=True):
    environment: str
    distributions: list[str]


def parse(readings: Readings) -> dict[str, str]:
    active = msgspec.json.decode(readings.text(_PACKAGES), type=_Active)
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, dash, version in (text.rpartition("-") for text in active.distributions)
        if name and dash
    }


FACT = Fact[dict[str, str]](
    title="Packages in the active environment",
    sources=(_PACKAGES,),
    parse=parse,
    moving=ALL,  # every user has another active environment
)
