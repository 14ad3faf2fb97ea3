"""The document that shows the reading of a text about a host, so that a misreading is seen."""

from __future__ import annotations

import json
import re
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from provision.host import (
    accelerators,
    assume,
    compilers,
    cpu,
    cuda_toolkits,
    driver,
    environment,
    facts_read,
    glibc,
    gpu_links,
    gpus,
    kernel,
    machine,
    os_release,
    packages,
    pythons,
    wsl,
)
from provision.host._model import Missing
from provision.host._scrub import hide_secrets
from provision.host.facts_read import Assumption, ReadFacts
from provision.host.from_paste._lines import Line, cleaned
from provision.host.torch_there import CUDA_AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.host._model import Fact, Host
    from provision.host.from_text import HostText

SCHEMA: Final = "vllm-ready/host-read/1"
_LONGEST: Final = 200


class TextLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the text, and its number from 1."""

    line: int
    text: str


class MissingFact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact for a plan that no line tells, and the line that would tell it.

    `decisive`: without it there is no plan; it is never assumed.
    """

    fact: str
    decisive: bool
    add: str


class HostRead(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The facts of a text, their lines, the facts that it leaves open, and contradictions."""

    schema: Literal["vllm-ready/host-read/1"] = SCHEMA
    kind: Literal["recording", "paste", "description"]
    facts: ReadFacts
    from_: dict[str, tuple[TextLine, ...]]
    missing: tuple[MissingFact, ...]
    contradictions: tuple[str, ...]
    assumed: tuple[Assumption, ...]


# The fact of the host that each field shows.
_FACT_OF: Final[dict[str, Fact[Any]]] = {
    "gpus": gpus.FACT,
    "driver": driver.FACT,
    "python": pythons.FACT,
    "glibc": glibc.FACT,
    "machine": machine.FACT,
    "os": os_release.FACT,
    "kernel": kernel.FACT,
    "wsl": wsl.FACT,
    **dict.fromkeys(("torch", "vllm", "flash_attn", "flashinfer", "nccl"), packages.FACT),
    "packages": packages.FACT,
    "cuda_available": CUDA_AVAILABLE,
    "cuda_toolkit": cuda_toolkits.FACT,
    "gcc": compilers.FACT,
    "cpu": cpu.FACT,
    "cpu_flags": cpu.FACT,
    "mig": gpus.FACT,
    "gpu_links": gpu_links.FACT,
    "environment": environment.FACT,
}
# The facts for a plan: do they decide, and a line that tells each, in a paste and in a description.
_NEEDED: Final = (
    ("gpus", True, "GPU 0: NVIDIA H100 80GB HBM3", "gpus: [{name: NVIDIA H100 80GB HBM3}]"),
    ("driver", True, "Nvidia driver version: 580.65.06", 'driver: "580.65.06"'),
    ("python", False, "Python version: 3.12.3", 'python: "3.12"'),
    ("glibc", False, "Libc version: glibc-2.35", 'glibc: "2.35"'),
    ("machine", False, "machine: x86_64", "machine: x86_64"),
)


def document(told: HostText) -> HostRead:
    host = told.host
    facts = facts_read.of_host(host)
    known = {name for name in _FACT_OF if getattr(facts, name) is not None}
    return HostRead(
        kind=told.kind,
        facts=facts,
        from_=_of_recording(known, told.text)
        if told.kind == "recording"
        else _of_text(known, facts, told),
        missing=missing(told),
        contradictions=(
            *(found.contradiction for found in told.found.values() if found.contradiction),
            *_disagreements(host, facts),
        ),
        assumed=assume.complete(host)[1],
    )


def missing(told: HostText) -> tuple[MissingFact, ...]:
    """Return what a plan needs and no line tells."""

    def is_open(name: str) -> bool:
        value = told.host.value(_FACT_OF[name])
        return isinstance(value, Missing) and value.why == "not read"

    has_gpus = told.host.known(gpus.FACT)
    return tuple(
        MissingFact(
            fact=name, decisive=decisive, add=in_yaml if told.kind == "description" else in_paste
        )
        for name, decisive, in_paste, in_yaml in _NEEDED
        # Without a GPU no driver is needed.
        if is_open(name) and (name != "driver" or has_gpus)
    )


def _disagreements(host: Host, facts: ReadFacts) -> Iterator[str]:
    if host.known(gpus.FACT) and facts.cuda_available is False:
        yield "GPUs are listed, and torch could use none: Is CUDA available says False"
    if host.known(gpus.FACT) and facts.torch and facts.torch.endswith("+cpu"):
        yield f"GPUs are listed, and torch {facts.torch} is a build for CPUs"


def _of_text(
    known: Iterable[str], facts: ReadFacts, told: HostText
) -> dict[str, tuple[TextLine, ...]]:
    by_number: dict[int, list[str]] = {}
    whole = map(Line, count(1), told.text.splitlines())
    for line in cleaned(told.text) if told.kind == "paste" else whole:
        by_number.setdefault(line.number, []).append(line.text)

    def shown(number: int, value: object) -> TextLine:
        parts = by_number.get(number, [""])
        # Lines that were joined have one number.
        part = next((part for part in parts if str(value) in part), parts[0])
        return TextLine(line=number, text=hide_secrets(part)[:_LONGEST])

    lines = {}
    for name in known:
        value = getattr(facts, name)
        sources = (_FACT_OF[name].name, *([accelerators.FACT.name] if name == "gpus" else []))
        numbers = (n for fact in sources if fact in told.found for n in told.found[fact].lines)
        each = tuple(shown(number, value) for number in dict.fromkeys(numbers))
        if _FACT_OF[name] is packages.FACT and name != "packages":
            each = tuple(line for line in each if value in line.text)
        if each:
            lines[name] = each
    return lines


def _of_recording(known: Iterable[str], text: str) -> dict[str, tuple[TextLine, ...]]:
    """Return the sources of each fact that the recording has, with their lines."""
    line_of = {
        match[1]: text.count("\n", 0, match.start()) + 1
        for match in re.finditer(r'"((?:command|file|files|probe) (?:[^"\\]|\\.)*)":', text)
    }
    return {
        name: tuple(
            TextLine(line=line_of[key], text=source.key)
            for source in _FACT_OF[name].sources
            if (key := json.dumps(source.key)[1:-1]) in line_of
        )
        for name in known
    }
