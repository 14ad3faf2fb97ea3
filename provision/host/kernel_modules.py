"""The installed kernels, newest first, each with or without an nvidia module."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import Fact, Probe, Readings

_KERNELS = Probe("kernel_modules")


class InstalledKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel by its release, as in `uname -r`."""

    kernel: str
    nvidia: bool


def parse(readings: Readings) -> tuple[InstalledKernel, ...]:
    return tuple(
        sorted(
            msgspec.json.decode(readings.text(_KERNELS), type=list[InstalledKernel]),
            key=lambda kernel: [int(number) for number in re.findall(r"\d+", kernel.kernel)],
            reverse=True,
        )
    )


FACT = Fact[tuple[InstalledKernel, ...]](
    title="Installed kernels", sources=(_KERNELS,), parse=parse
)
