"""A report without names of users and hosts, home folders, serials, addresses, secrets: as it is kept, and shared."""

from __future__ import annotations

import functools
import re
from typing import Any, Final, Literal, get_origin

import msgspec

from provision.host._scrub import HIDDEN, Scrubber
from provision.report._model import Report
from provision.report._other_names import names_somebody, without_others

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_COUNT: Final = 9999


def shared(report: Report, scrubber: Scrubber) -> Report:
    """Every text of it at every depth, keys too; versions, hashes' beginnings, numbers and structure stay."""
    told: Report = _Telling(scrubber.knowing(_versions(report)), others=True).of(report)
    return msgspec.structs.replace(told, host={**told.host, "id": HIDDEN} if "id" in told.host else told.host)


def kept(report: Report, scrubber: Scrubber) -> Report:
    """As it may lie in logs/: without what names this user and this host, and without secrets."""
    told: Report = _Telling(scrubber.knowing(_versions(report)), others=False, words=_words(report)).of(
        msgspec.structs.replace(report, host={**report.host, "facts": {}})
    )
    facts = {"facts": report.host["facts"]} if "facts" in report.host else {}  # scrubbed when they were read
    host = {name: one for name, one in told.host.items() if name != "facts"}
    return msgspec.structs.replace(told, host={**host, **facts})


def _versions(report: Report) -> set[str]:
    planned = report.plan.packages.values() if report.plan else ()
    return {package.version for package in (*report.packages.values(), *planned) if package}


def _words(report: Report) -> frozenset[str]:
    """What names of packages, checks and tasks are made of: who is called like that must find them again later."""
    names = (*report.packages, *report.promised, *report.commands, *report.left, *(one.name for one in report.checks))
    proper = (name.lower() for name in names if re.fullmatch(r"[\w.-]+", name))
    return frozenset(word for name in proper for word in re.split(r"[^a-z0-9]+", name))


class _Telling:
    """Goes through all of it; `others`: what it may say of other people and hosts goes, too.

    `words`: what is none of our names where it is a part of a longer word.
    """

    def __init__(self, scrubber: Scrubber, *, others: bool, words: frozenset[str] = frozenset()) -> None:
        self._scrubber, self._others, self._words = scrubber, others, words

    def of(self, told: Any) -> Any:  # noqa: ANN401 - whatever stands in a report
        if isinstance(told, str):
            return self._without_names(self._scrubber.text(told))
        if isinstance(told, msgspec.Struct):
            return msgspec.structs.replace(told, **{name: self._field(told, name) for name in _texts(type(told))})
        if isinstance(told, (list, tuple)):
            return type(told)(map(self.of, told))
        return self._group(told) if isinstance(told, dict) else told

    def _field(self, told: msgspec.Struct, name: str) -> Any:  # noqa: ANN401 - as above
        value = getattr(told, name)
        return value if name == "fingerprint" and _HASH.fullmatch(value) else self.of(value)

    def _group(self, told: dict[str, Any]) -> dict[str, Any]:
        """Keys that are alike once they are hidden stay several."""
        found: dict[str, Any] = {}
        for key, value in told.items():
            name = shown = self.of(key)
            while name in found:
                name = f"{shown} ({len(found) + 1})"
            found[name] = self._entry(key, value)
        return found

    def _entry(self, key: str, value: Any) -> Any:  # noqa: ANN401 - as above
        if self._others and names_somebody(key):
            return self._hidden(value)
        if not isinstance(value, str):
            return self.of(value)
        (said,) = self._scrubber.value({key: value}).values()
        return self._without_names(said)

    def _hidden(self, value: Any) -> Any:  # noqa: ANN401 - as above
        """Whatever it is made of; a small number counts something, and yes or no names nobody."""
        if isinstance(value, (list, tuple)):
            return type(value)(map(self._hidden, value))
        if isinstance(value, dict):
            return {key: self._hidden(one) for key, one in self._group(value).items()}
        if isinstance(value, (int, float)):
            return HIDDEN if abs(value) > _COUNT else value
        return (HIDDEN if value else value) if isinstance(value, str) else self.of(value)

    def _without_names(self, text: str) -> str:
        if self._others:
            return without_others(self._scrubber.within_words(text))
        return self._scrubber.within_words(text, but=self._words)


@functools.cache
def _texts(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields that are not one of a few given words."""
    return tuple(one.name for one in msgspec.structs.fields(kind) if get_origin(one.type) is not Literal)
