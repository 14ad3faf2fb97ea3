"""The environment variables that change how CUDA, NCCL, PyTorch and vLLM behave."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings

SOURCE = Probe("environment")


class Variables(msgspec.Struct, frozen=True):
    """The probe's answer: values from an allow-list, and the names of others that are set."""

    variables: dict[str, str]
    set: list[str]


def read(readings: Readings) -> Variables:
    return msgspec.json.decode(readings.text(SOURCE), type=Variables)


def parse(readings: Readings) -> dict[str, str]:
    """Return values by name.

    A variable whose value is private, such as a proxy, has the value "set".
    """
    answer = read(readings)
    return dict(sorted({**dict.fromkeys(answer.set, "set"), **answer.variables}.items()))


FACT = Fact[dict[str, str]](sources=(SOURCE,), parse=parse)
