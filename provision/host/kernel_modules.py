"""The installed kernels, newest first, and for which of them there is an nvidia module."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import Fact, Probe, Readings

_KERNELS = Probe("kernel_modules")


class InstalledKernel(msgspec.Struct, frozen=True, kw_only=True):
    """By the release that `uname -r` says when it runs."""

    kernel: str
    nvidia: bool


def parse(readings: Readings) -> tuple[InstalledKernel, ...]:
    found = msgspec.json.decode(readings.text(_KERNELS), type=list[InstalledKernel])
    return tuple(
        sorted(found, key=lambda one: [int(number) for number in re.findall(r"\d+", one.kernel)], reverse=True)
    )


FACT = Fact[tuple[InstalledKernel, ...]](
    name="kernel_modules", title="Installed kernels", sources=(_KERNELS,), parse=parse
)
