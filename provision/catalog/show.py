"""The rows of a table for a person: the name of the row, its fields, one line per build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from provision.display.tables import Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.catalog.row import Row

_NAMED_BY = {
    "accelerators": ("kind",),
    "cuda": ("version",),
    "cuda_major": ("major",),
    "drivers": ("cc",),
    "gpus": ("name",),
    "pci": ("first", "last"),
    "rules": ("package", "versions"),
    "ways": ("kind",),
}
_OWN_LINES = frozenset({"builds", "requires"})  # lists of their own, too long for one line
_LEAST = 24  # columns for the fields beside a name; with fewer they go below it
_HIDDEN = frozenset({"source", "read", "file", "glibc_why"})  # --json has them


def rows_of(table: str, rows: Iterable[Row]) -> Rows:
    """Return the rows as lines; a row of several lines has its name on the first."""
    lines: list[tuple[str, str]] = []
    for row in rows:
        fields = msgspec.to_builtins(row)
        # Tables of releases are named by their version.
        named_by = _NAMED_BY.get(table, ("version",))
        name = (
            " to ".join(dict.fromkeys(str(fields.pop(key)) for key in named_by))
            if table == "pci"
            else ""
        )
        name = name or " ".join(str(fields.pop(key)) for key in named_by)
        lines += [(name if i == 0 else "", line) for i, line in enumerate(_lines(fields))]
    return Rows(lines, least=_LEAST)


def _lines(row: dict[str, Any]) -> Iterator[str]:
    yield ", ".join(_fields({key: value for key, value in row.items() if key not in _OWN_LINES}))
    if row.get("requires"):
        yield "requires " + ", ".join(
            f"{name} {versions}".strip() for name, versions in row["requires"].items()
        )
    for build in row.get("builds", ()):
        first = " ".join(dict.fromkeys((build.pop("machine"), build.pop("variant"))))
        yield f"{first}: {', '.join(_fields(build))}"


def _fields(row: dict[str, Any]) -> Iterator[str]:
    for key, value in row.items():
        if key not in _HIDDEN and value not in (None, "", [], (), {}):
            yield _field(key.replace("_", " "), value)


def _field(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    for unit, shown in (("mb", "MB"), ("gb", "GB"), ("gbs", "GB/s"), ("gib", "GiB")):
        if name.endswith(f" {unit}"):
            return f"{name.removesuffix(unit)}{value:g} {shown}"
    return f"{name} {_in_words(value)}"


def _in_words(value: object) -> str:
    if isinstance(value, (list, tuple)):
        words = [
            ("yes" if item else "no") if isinstance(item, bool) else str(item) for item in value
        ]
        return (" / " if any(" " in word for word in words) else " ").join(words)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_in_words(item)}" for key, item in value.items())
    return str(value)
