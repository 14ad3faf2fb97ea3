"""The rows of a table for a person: what names a row, then the rest by field, builds one a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from provision.display.tables import Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.catalog.rows import Row

_NAMED_BY = {
    "cuda": ("version",),
    "cuda_major": ("major",),
    "drivers": ("cc",),
    "gpus": ("name",),
    "pci": ("first", "last"),
    "rules": ("package", "versions"),
}
_OWN_LINES = frozenset({"builds", "requires"})  # lists of their own, too long for one line
_LEAST = 24  # columns for what stands beside a name; with fewer it stands below
_UNSAID = frozenset({"source", "read", "file", "glibc_why"})  # --json has them


def rows_of(table: str, rows: Iterable[Row]) -> Rows:
    """One row of the catalogue after the other; a row that needs several lines is named on its first."""
    lines: list[tuple[str, str]] = []
    for row in rows:
        said = msgspec.to_builtins(row)
        named_by = _NAMED_BY.get(table, ("version",))
        name = " to ".join(dict.fromkeys(str(said.pop(key)) for key in named_by)) if table == "pci" else ""
        name = name or " ".join(str(said.pop(key)) for key in named_by)
        lines += [(name if i == 0 else "", line) for i, line in enumerate(_lines(said))]
    return Rows(lines, narrow=max(len(name) for name, _ in lines) + _LEAST)


def _lines(row: dict[str, Any]) -> Iterator[str]:
    yield ", ".join(_fields({key: value for key, value in row.items() if key not in _OWN_LINES}))
    if row.get("requires"):
        yield "requires " + ", ".join(f"{name} {versions}".strip() for name, versions in row["requires"].items())
    for build in row.get("builds", ()):
        first = " ".join(dict.fromkeys((build.pop("machine"), build.pop("variant"))))
        yield f"{first}: {', '.join(_fields(build))}"


def _fields(row: dict[str, Any]) -> Iterator[str]:
    for key, value in row.items():
        if key not in _UNSAID and value not in (None, "", [], (), {}):
            yield _field(key.replace("_", " "), value)


def _field(name: str, value: object) -> str:
    """Switches by name alone, sizes with their unit, lists with blanks between."""
    if isinstance(value, bool):
        return name if value else f"no {name}"
    for unit in ("mb", "gb", "gbs"):
        if name.endswith(f" {unit}"):
            return f"{name.removesuffix(unit)}{value:g} {unit.upper().replace('GBS', 'GB/s')}"
    return f"{name} {_in_words(value)}"


def _in_words(value: object) -> str:
    if isinstance(value, (list, tuple)):
        said = [("yes" if one else "no") if isinstance(one, bool) else str(one) for one in value]
        return (" / " if any(" " in one for one in said) else " ").join(said)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_in_words(one)}" for key, one in value.items())
    return str(value)
