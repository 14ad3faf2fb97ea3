"""The environment variables that change how CUDA, NCCL, PyTorch and vLLM behave, and which hints are set."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings

SOURCE = Probe("environment")


class Variables(msgspec.Struct, frozen=True):
    """What the probe tells: values of an allow-list, and the names of others that are set."""

    variables: dict[str, str]
    set: list[str]


def read(readings: Readings) -> Variables:
    return msgspec.json.decode(readings.text(SOURCE), type=Variables)


def parse(readings: Readings) -> dict[str, str]:
    """Name to value; a variable whose value is nobody's business, such as a proxy, is "set"."""
    seen = read(readings)
    return dict(sorted({**dict.fromkeys(seen.set, "set"), **seen.variables}.items()))


FACT = Fact[dict[str, str]](name="environment", title="Environment", sources=(SOURCE,), parse=parse)
