"""A report without names of users and hosts, home folders, serials, addresses, secrets: as it is kept, and shared."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final, Literal, get_origin

import msgspec

from provision import package_sources
from provision.host._scrub import HIDDEN, Scrubber
from provision.report._model import Report

_PUBLIC: Final = tuple(
    address.split("/")[2]
    for address in (package_sources.PYTORCH, package_sources.VLLM, package_sources.GITHUB, "https://huggingface.co/")
)
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_HERE: Final = ("localhost", "127.0.0.1", "0.0.0.0", "[::1]")  # noqa: S104 - of every host the same
# A key whose value names somebody or something.
_NAMES: Final = re.compile(
    r"(?:.*_)?(?:serial(?:_number)?|uuid|guid|host_?name|node_?name|machine_id|host_id|boot_id|mac|mac_address|ip"
    r"|ip_address|user|login|owner|e?mail)",
    re.IGNORECASE,
)
# What a text from whatever host may say of who and where; who we are ourselves the scrubber knows.
_WHO: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (
        re.compile(
            r"\b((?!file:)[a-z][a-z0-9+.-]*://)(?:[^\s/\"'<>@]*@)?(\[[^\s\]]*\]|[^\s/:\"'<>,;)]+)", re.IGNORECASE
        ),
        lambda match: match[0] if match[2].lower() in (*_PUBLIC, *_HERE, HIDDEN) else f"{match[1]}{HIDDEN}",
    ),
    (re.compile(r"(?<![\w.+*-])[\w.+-]+@(?=[A-Za-z\[])[\w.\[\]:-]*\w"), HIDDEN),
    (
        # In prose a host is followed by a colon too: "on a host: the driver is missing".
        re.compile(
            r"\b((?:host|node|server|user|owner)[=:][\"']?"
            r"|(?:(?:host|node|user)_?name|login|logname|\w*_(?:HOST|ADDR|NODELIST|NODENAME|USER))\s*[=:]\s*[\"']?)"
            r"(?!\*\*\*)[\w.-]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(r"(?<![\w.-])[\w-]+(?:\.[\w-]+)*\.(?:internal|lan|corp|intranet|localdomain)(?:\.[\w-]+)*(?![\w-])"),
        HIDDEN,
    ),
)


def shared(report: Report, scrubber: Scrubber) -> Report:
    """Every text of it at every depth, keys too; versions, hashes' beginnings, numbers and structure stay."""
    told: Report = _Telling(scrubber.knowing(_versions(report)), others=True).of(report)
    return msgspec.structs.replace(told, host={**told.host, "id": HIDDEN} if "id" in told.host else told.host)


def kept(report: Report, scrubber: Scrubber) -> Report:
    """As it may lie in logs/: without what names this user and this host, and without secrets."""
    told: Report = _Telling(scrubber.knowing(_versions(report)), others=False).of(
        msgspec.structs.replace(report, host={**report.host, "facts": {}})
    )
    facts = {"facts": report.host["facts"]} if "facts" in report.host else {}  # scrubbed when they were read
    host = {name: one for name, one in told.host.items() if name != "facts"}
    return msgspec.structs.replace(told, host={**host, **facts})


def _versions(report: Report) -> set[str]:
    planned = report.plan.packages.values() if report.plan else ()
    return {package.version for package in (*report.packages.values(), *planned) if package}


class _Telling:
    """Goes through all of it; `others`: what it may say of other people and hosts goes, too."""

    def __init__(self, scrubber: Scrubber, *, others: bool) -> None:
        self._scrubber, self._others = scrubber, others

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
        if not isinstance(value, str):
            return self.of(value)
        if self._others and value and _NAMES.fullmatch(key):
            return HIDDEN
        (said,) = self._scrubber.value({key: value}).values()
        return self._without_names(said)

    def _without_names(self, text: str) -> str:
        for pattern, replacement in _WHO if self._others else ():
            text = pattern.sub(replacement, text)
        return text


@functools.cache
def _texts(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields that are not one of a few given words."""
    return tuple(one.name for one in msgspec.structs.fields(kind) if get_origin(one.type) is not Literal)
