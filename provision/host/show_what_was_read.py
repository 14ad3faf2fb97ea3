"""Show the reading of a text to a person: each fact, its line, and the facts left open."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
from rich.text import Text

from provision.display.tables import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from provision.host.facts_read import ReadFacts
    from provision.host.what_was_read import HostRead, TextLine

_WIDEST: Final = 44  # letters of a value
_LONGEST: Final = 100  # letters of a line
# Shown as a count, because a text may have hundreds of each.
_MANY: Final = {"packages": "in all", "cpu_flags": "in all", "gpu_links": "in all"}


def table(read: HostRead) -> Iterator[RenderableType]:
    yield Text(f"{read.kind}: what it tells of a host\n", style="bold")
    yield Rows(
        (name.replace("_", " "), _cut(value), _place(read.from_.get(name, ())))
        for name, value in _values(read.facts)
    )
    yield from _part(
        "Missing",
        (
            f"{fact.fact}{'' if fact.decisive else ' (can be assumed)'}: add a line `{fact.add}`"
            for fact in read.missing
        ),
    )
    yield from _part("Contradictions", read.contradictions)
    yield from _part(
        "A plan assumes", (f"{said.fact} {said.value}: {said.because}" for said in read.assumed)
    )


def _values(facts: ReadFacts) -> Iterator[tuple[str, str]]:
    for name, value in msgspec.structs.asdict(facts).items():
        if value is None:
            continue
        if name == "gpus":
            kinds = Counter(
                " ".join(
                    filter(
                        None,
                        (
                            gpu.name,
                            gpu.cc and f"cc {gpu.cc}",
                            gpu.memory_gb and f"{gpu.memory_gb:g} GB",
                        ),
                    )
                )
                for gpu in value
            )
            yield (
                name,
                ", ".join(
                    f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items()
                )
                or "none",
            )
        elif name in _MANY:
            yield name, f"{len(value)} {_MANY[name]}"
        elif name == "environment":
            yield name, ", ".join(f"{variable}={text}" for variable, text in value.items())
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        else:
            yield name, str(value)


def _cut(text: str, most: int = _WIDEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _place(lines: tuple[TextLine, ...]) -> str:
    if not lines:
        return ""
    first, *others = lines
    more = f" (and {len(others)} more)" if others else ""
    return f"line {first.line}{more}: {_cut(first.text, _LONGEST)}"


def _part(title: str, lines: tuple[str, ...] | Iterator[str]) -> Iterator[RenderableType]:
    for number, line in enumerate(lines):
        if number == 0:
            yield Text(f"\n{title}", style="bold")
        yield Text(f" • {line}")
