"""The operating system: id, name, version and the systems that it descends from."""

from __future__ import annotations

import shlex

import msgspec

from provision.host._model import Fact, File, Readings

_ETC = File("/etc/os-release")
_USR = File("/usr/lib/os-release")


class OsRelease(msgspec.Struct, frozen=True, kw_only=True):
    """`like` are the ids of the systems that it descends from, the nearest first."""

    id: str
    name: str
    version: str | None = None
    like: tuple[str, ...] = ()


def parse(readings: Readings) -> OsRelease:
    text = readings.optional(_USR) if readings.get(_ETC).outcome == "absent" else None
    values = dict(_pairs(readings.text(_ETC) if text is None else text))
    if "ID" not in values and "NAME" not in values:
        raise ValueError("neither ID nor NAME")
    id_ = values.get("ID") or values["NAME"].split()[0].lower()
    return OsRelease(
        id=id_,
        name=values.get("PRETTY_NAME") or values.get("NAME") or id_,
        version=values.get("VERSION_ID") or None,  # a rolling release has none
        like=tuple(values.get("ID_LIKE", "").split()),
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = (line.strip().partition("=") for line in text.splitlines())
    return [
        (name, _unquoted(value))
        for name, equals, value in parts
        if equals and not name.startswith("#")
    ]


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value)[:1])
    except ValueError:
        return value.strip("\"'")


FACT = Fact[OsRelease](title="Operating system", sources=(_ETC, _USR), parse=parse)
