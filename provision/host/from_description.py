"""Read the short host description (a few lines of YAML) into a Host."""

from __future__ import annotations

import re
from typing import Any, Literal

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
    """A kind of GPU, and how many there are."""

    name: str
    cc: str | None = None
    memory_gb: float | None = None
    count: int = 1


class DescribedSources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The package sources that answer there; one that is not named does."""

    pypi: bool = True
    pytorch: bool = True
    vllm: bool = True
    github: bool = True


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host as a person writes it. A plan needs everything but driver and sources."""

    gpus: list[DescribedGpu] | None = None
    driver: str | None = None
    python: str | None = None
    glibc: str | None = None
    machine: str | None = None
    sources: DescribedSources = DescribedSources()


# The shape of a value, its name in a complaint, and an example.
_SHAPES = {
    "driver": (r"\d{3,4}(\.\d{1,4}){0,3}([-+~ _(].*)?", "driver version", 'driver: "580.65.06"'),
    "python": (r"3\.\d{1,2}(\.\d{1,3}\S{0,20})?", "Python version", 'python: "3.12"'),
    "glibc": (r"\d{1,2}\.\d{1,3}(\.\d{1,3})?", "glibc version", 'glibc: "2.35"'),
    "machine": (r"[a-z][a-z0-9_]{1,20}", "machine", "machine: x86_64 or machine: aarch64"),
}
_OTHER_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_NAMES = "|".join(Description.__struct_fields__)


def looks_like(text: str) -> bool:
    """Return True if a line begins with `gpus:`, or an object with one of the names.

    Only a description has that.
    """
    return (
        re.search(rf"^gpus[ \t]*:|\A\s*\{{\s*[\"']?(?:{_NAMES})\b", text, re.MULTILINE) is not None
    )


def looks_begun(text: str) -> bool:
    """Return True if the first line is a name with a value, a list or an object of YAML."""
    first_line = next(
        (line for line in text.splitlines() if line.strip() and not line.startswith(("#", "---"))),
        "",
    )
    return (
        re.match(r"""\s*(?:["']?[\w.-]+["']?[ \t]*:(?:\s|$)|[-\[{!&*])""", first_line) is not None
    )


def parse(text: str, name: str) -> Host:
    document = yamltext.parse(text, name)
    described = yamltext.typed(document, Description, name)
    for field, (shape, what, example) in _SHAPES.items():
        value = getattr(described, field)
        if value is not None and not re.fullmatch(shape, value, re.ASCII):
            _refuse(
                document,
                f"$.{field}",
                f"{field}: `{value[:60]}` is not a {what}",
                f"write {example}",
                name,
            )
    for i, gpu in enumerate(described.gpus or []):
        _check_gpu(gpu, i, document, name)
    if sum(gpu.count for gpu in described.gpus or []) > _MOST_GPUS:
        _refuse(
            document,
            "$.gpus",
            f"gpus: more than {_MOST_GPUS} on one host",
            "correct the counts",
            name,
        )
    return Host(described=_facts(described))


def _check_gpu(gpu: DescribedGpu, i: int, document: yamltext.Document, name: str) -> None:
    here = f"gpus[{i}]"
    if not gpu.name.strip():
        _refuse(document, f"$.{here}.name", f"{here}.name: is empty", "write name: NVIDIA L4", name)
    if gpu.cc is not None and not re.fullmatch(r"\d{1,2}\.\d", gpu.cc, re.ASCII):
        _refuse(
            document,
            f"$.{here}.cc",
            f"{here}.cc: `{gpu.cc[:60]}` is not a compute capability",
            'write cc: "9.0"',
            name,
        )
    if gpu.memory_gb is not None and not 0 < gpu.memory_gb < 10_000:
        _refuse(
            document,
            f"$.{here}.memory_gb",
            f"{here}.memory_gb: {gpu.memory_gb:g} is out of range",
            "write gigabytes: memory_gb: 80",
            name,
        )
    if not 1 <= gpu.count <= _MOST_GPUS:
        _refuse(
            document,
            f"$.{here}.count",
            f"{here}.count: {str(gpu.count)[:20]} is out of range",
            f"write a number from 1 to {_MOST_GPUS}",
            name,
        )


def _refuse(document: yamltext.Document, path: str, what: str, hint: str, name: str) -> None:
    raise UnreadableInput(what, where=f"{name}:{document.lines.get(path, 1)}", hint=hint)


def _facts(described: Description) -> dict[str, Any]:
    """Return facts by name, as a recording would have them; what is not described is left out."""
    no_driver = Missing(why="absent", detail="the description names no driver")
    each_gpu = [gpu for gpu in described.gpus or () for _ in range(gpu.count)]
    all_gpus = tuple(
        Gpu(id=str(i), name=gpu.name, cc=gpu.cc, memory_gb=gpu.memory_gb)
        for i, gpu in enumerate(each_gpu)
    )
    facts = {
        driver.FACT.name: _driver(described.driver) if described.driver else no_driver,
        gpus.FACT.name: None if described.gpus is None else all_gpus,
        pythons.FACT.name: (Python(version=described.python),) if described.python else None,
        glibc.FACT.name: described.glibc,
        machine.FACT.name: _OTHER_MACHINES.get(described.machine or "", described.machine),
        sources.FACT.name: {
            source: SourceAnswer(answers=yes)
            for source, yes in msgspec.structs.asdict(described.sources).items()
        },
    }
    return {name: value for name, value in facts.items() if value is not None}


def _driver(text: str) -> Driver:
    """Cut off suffixes of the version; "-open" and "(open)" give the flavour."""
    version = re.match(r"[\d.]+", text)
    flavour: Literal["open", "proprietary"] | None = (
        "proprietary" if "proprietary" in text else None
    )
    return Driver(
        version=version[0] if version else text, flavour="open" if "open" in text else flavour
    )
