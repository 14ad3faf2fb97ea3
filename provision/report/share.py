"""Scrubbed reports: without names of users and hosts, home folders, serials, addresses, secrets."""

from __future__ import annotations

import functools
import re
from typing import Any, Final, Literal, get_origin

import msgspec

from provision.host._scrub import HIDDEN, Scrubber
from provision.report._model import Report
from provision.report._other_names import is_identifying, without_others

_HASH: Final = re.compile(r"[0-9a-f]{64}")
# A larger number may be a serial number.
_COUNT: Final = 9999


def scrubbed_for_sharing(report: Report, scrubber: Scrubber) -> Report:
    """Return the report for publication: every text and key is scrubbed, at every depth.

    Versions, starts of hashes, numbers and the structure stay.
    """
    # A version such as 9.1.0.70 would be taken for an address.
    scrubbed: Report = _Scrub(scrubber.with_versions(_versions(report)), others=True).value(report)
    host = {**scrubbed.host, "id": HIDDEN} if "id" in scrubbed.host else scrubbed.host
    return msgspec.structs.replace(scrubbed, host=host)


def scrubbed_for_logs(report: Report, scrubber: Scrubber) -> Report:
    """Return the report for logs/: without names of this user and host, and without secrets."""
    scrub = _Scrub(scrubber.with_versions(_versions(report)), others=False, words=_words(report))
    # Facts were scrubbed when they were recorded; two scrubs of one fact could differ.
    facts = {name: fact for name, fact in report.host.items() if name == "facts"}
    scrubbed: Report = scrub.value(
        msgspec.structs.replace(
            report, host={name: value for name, value in report.host.items() if name != "facts"}
        )
    )
    return msgspec.structs.replace(scrubbed, host={**scrubbed.host, **facts})


def _versions(report: Report) -> set[str]:
    planned = report.plan.packages.values() if report.plan else ()
    return {package.version for package in (*report.packages.values(), *planned) if package}


def _words(report: Report) -> frozenset[str]:
    """Return the words in names of packages, checks and tasks.

    A user whose name is one of these words must still find these names in the report.
    """
    checks = (check.name for check in report.checks)
    proper = (
        name.lower()
        for name in (*report.packages, *report.promised, *report.commands, *report.left, *checks)
        if re.fullmatch(r"[\w.-]+", name)
    )
    return frozenset(word for name in proper for word in re.split(r"[^a-z0-9]+", name))


class _Scrub:
    """A walk through every value of a report.

    With `others`, names of other people and hosts are hidden too. `words` are never hidden
    where they are a part of a longer word.
    """

    def __init__(
        self, scrubber: Scrubber, *, others: bool, words: frozenset[str] = frozenset()
    ) -> None:
        self._scrubber, self._others, self._words = scrubber, others, words

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any value
        if isinstance(value, str):
            return self._without_names(self._scrubber.text(value))
        if isinstance(value, msgspec.Struct):
            return msgspec.structs.replace(
                value, **{name: self._field(value, name) for name in _free_fields(type(value))}
            )
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.value, value))
        return self._object(value) if isinstance(value, dict) else value

    def _field(self, struct: msgspec.Struct, name: str) -> Any:  # noqa: ANN401 - any value
        value = getattr(struct, name)
        is_hash = name == "fingerprint" and _HASH.fullmatch(value)
        return value if is_hash else self.value(value)

    def _object(self, members: dict[str, Any]) -> dict[str, Any]:
        """Return the scrubbed object; keys that become equal are numbered, not merged."""
        scrubbed: dict[str, Any] = {}
        for key, value in members.items():
            name = first = self.value(key)
            while name in scrubbed:
                name = f"{first} ({len(scrubbed) + 1})"
            scrubbed[name] = self._member(key, value)
        return scrubbed

    def _member(self, key: str, value: Any) -> Any:  # noqa: ANN401 - any value
        if self._others and is_identifying(key):
            return self._hidden(value)
        if not isinstance(value, str):
            return self.value(value)
        (text,) = self._scrubber.value({key: value}).values()
        return self._without_names(text)

    def _hidden(self, value: Any) -> Any:  # noqa: ANN401 - any value
        """Return the value with every text and large number hidden; a small one is a count."""
        if isinstance(value, (list, tuple)):
            return type(value)(map(self._hidden, value))
        if isinstance(value, dict):
            return {key: self._hidden(member) for key, member in self._object(value).items()}
        if isinstance(value, (int, float)):
            return HIDDEN if abs(value) > _COUNT else value
        return (HIDDEN if value else value) if isinstance(value, str) else self.value(value)

    def _without_names(self, text: str) -> str:
        if self._others:
            return without_others(self._scrubber.within_words(text))
        return self._scrubber.within_words(text, but=self._words)


@functools.cache
def _free_fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in msgspec.structs.fields(kind)
        if get_origin(field.type) is not Literal
    )
