"""The short host description (a few lines of YAML) -> Host."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from provision import yamltext
from provision.errors import UnreadableInput
from provision.host import driver, glibc, gpus, machine, pythons, sources
from provision.host._model import Host, Missing
from provision.host.driver import Driver
from provision.host.gpus import Gpu
from provision.host.pythons import Python
from provision.host.sources import SourceAnswer

_MOST_GPUS = 1024


class DescribedGpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of GPU, and how many of it there are."""

    name: str
    cc: str | None = None
    memory_gb: float | None = None
    count: int = 1


class DescribedSources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sources answer there; one that is not mentioned does."""

    pypi: bool = True
    pytorch: bool = True
    vllm: bool = True
    github: bool = True


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person writes about a host; a plan needs all of it but the driver and the sources."""

    gpus: list[DescribedGpu] | None = None
    driver: str | None = None
    python: str | None = None
    glibc: str | None = None
    machine: str | None = None
    sources: DescribedSources = DescribedSources()


_SHAPES = {
    "driver": (r"\d+(\.\d+){0,2}([-+~ _.(].*)?", '"580.65.06"'),
    "python": (r"3\.\d+(\.\d+\S*)?", '"3.12"'),
    "glibc": (r"\d+\.\d+(\.\d+)?", '"2.35"'),
    "machine": (r"[a-z][a-z0-9_]*", "x86_64 or aarch64"),
}


def looks_like(text: str) -> bool:
    """Whether a line begins with `gpus:`, which no other kind of text has."""
    return re.search(r"^gpus[ \t]*:", text, re.MULTILINE) is not None


def parse(text: str, name: str) -> Host:
    """The host that a description describes."""
    document = yamltext.parse(text, name)
    described = yamltext.typed(document, Description, name)
    for field, (shape, example) in _SHAPES.items():
        value = getattr(described, field)
        if value is not None and not re.fullmatch(shape, value):
            _refuse(document, f"$.{field}", f"{field}: `{value}` makes no sense", f"write {example}", name)
    for i, gpu in enumerate(described.gpus or []):
        _check_gpu(gpu, i, document, name)
    return Host(described=_facts(described))


def _check_gpu(gpu: DescribedGpu, i: int, document: yamltext.Document, name: str) -> None:
    if gpu.cc is not None and not re.fullmatch(r"\d{1,2}\.\d", gpu.cc):
        _refuse(document, f"$.gpus[{i}].cc", f"cc: `{gpu.cc}` is no compute capability", 'write cc: "9.0"', name)
    if gpu.memory_gb is not None and not 0 < gpu.memory_gb < 10_000:
        _refuse(document, f"$.gpus[{i}].memory_gb", "memory_gb: out of range", "write gigabytes, such as 80", name)
    if not 1 <= gpu.count <= _MOST_GPUS:
        _refuse(
            document,
            f"$.gpus[{i}].count",
            "count: out of range",
            f"write a number from 1 to {_MOST_GPUS}",
            name,
        )


def _refuse(document: yamltext.Document, path: str, what: str, hint: str, name: str) -> None:
    raise UnreadableInput(what, where=f"{name}:{document.lines.get(path, 1)}", hint=hint)


def _facts(described: Description) -> dict[str, Any]:
    """Facts by name, as a recording would give them; what is not described stays out."""
    facts: dict[str, Any] = {driver.FACT.name: Missing(why="absent", detail="the description names no driver")}
    if described.driver is not None:
        facts[driver.FACT.name] = Driver(version=described.driver)
    if described.gpus is not None:
        kinds = [gpu for gpu in described.gpus for _ in range(gpu.count)]
        facts[gpus.FACT.name] = tuple(
            Gpu(id=str(i), name=gpu.name, cc=gpu.cc, memory_gb=gpu.memory_gb) for i, gpu in enumerate(kinds)
        )
    if described.python is not None:
        facts[pythons.FACT.name] = (Python(version=described.python),)
    if described.glibc is not None:
        facts[glibc.FACT.name] = described.glibc
    if described.machine is not None:
        facts[machine.FACT.name] = described.machine
    answers = msgspec.structs.asdict(described.sources)
    facts[sources.FACT.name] = {source: SourceAnswer(answers=yes) for source, yes in answers.items()}
    return facts
