"""Patterns for names of other people and hosts in a text; the scrubber knows those of this host."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from provision import package_sources
from provision.host._scrub import HIDDEN

_PUBLIC: Final = tuple(
    address.split("/")[2]
    for address in (
        package_sources.PYTORCH,
        package_sources.VLLM,
        package_sources.GITHUB,
        "https://huggingface.co/",
    )
)
_HERE: Final = ("localhost", "127.0.0.1", "0.0.0.0", "[::1]")  # noqa: S104 - the same on every host
_PUBLIC_DOMAINS: Final = (*{".".join(host.split(".")[-2:]) for host in _PUBLIC}, "nvidia.com")
# A key whose value names a person, a host or a device; blanks and dashes count as underscores.
_NAMES: Final = re.compile(
    r"(?:.*_)?(?:serials?(?:_?numbers?|_?no)?|uuids?|guids?|host_?names?|node_?names?"
    r"|node_?list|machine_id|host_id|boot_id|macs?|mac_address(?:es)?|ips?|ip_address(?:es)?"
    r"|users?|user_?names?|logins?|owners?|e?mails?)",
    re.IGNORECASE,
)
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
# Module paths and file names have dots too. A name with the ending of a country is a host only
# where it has a digit or a dash, which a module path has not.
_WORLD = r"(?:com|org|net|edu|gov|mil|example)"
_COUNTRY = r"(?:de|fr|uk|ch|at|nl|eu|be|se|fi|dk|pl|cz|es|pt|ie|jp|cn|kr|tw|sg|au|nz|ca|us|br|il)"
_Pattern = tuple["re.Pattern[str]", "str | Callable[[re.Match[str]], str]"]


def _is_not_host(name: str) -> bool:
    if any(name.endswith(f".{domain}") for domain in _PUBLIC_DOMAINS):
        return True
    return not re.search(rf"\.{_WORLD}$", name) and not re.search(r"[\d-]", name)


_WHO: Final[tuple[_Pattern, ...]] = (
    (
        re.compile(
            r"(?<![a-z0-9+.-])((?!file:)[a-z0-9+.-]+://)(?:[^\s/\"'<>@]*@)?"
            r"(\[[^\s\]]*\]|[^\s/:\"'<>,;)]+)",
            re.IGNORECASE,
        ),
        lambda match: (
            match[0] if match[2].lower() in (*_PUBLIC, *_HERE, HIDDEN) else f"{match[1]}{HIDDEN}"
        ),
    ),
    (re.compile(r"(?<![\w.+*-])[\w.+-]+@(?=[A-Za-z\[])[\w.\[\]:-]*\w"), HIDDEN),
    (
        # No blank may follow the colon: "on a host: the driver is missing" is prose.
        re.compile(
            r"\b((?:host|node|server|user|owner)[=:][\"']?"
            r"|(?:(?:host|node|user)_?name|login|logname"
            r"|\w*_(?:HOST|ADDR|NODELIST|NODENAME|USER))\s*[=:]\s*[\"']?)"
            r"(?!\*\*\*)[\w.-]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            r"(?<![\w.-])[\w-]+(?:\.[\w-]+)*"
            r"\.(?:(?:internal|lan|intranet|localdomain|cluster\.local)(?!\.\w)"
            r"|corp(?:\.[\w-]+)*)(?![\w(-])"
        ),
        HIDDEN,
    ),
    (
        re.compile(
            rf"(?<![\w.@-])(?:{_LABEL}\.){{2,}}(?:{_WORLD}|{_COUNTRY})(?![\w(-]|\.\w)",
            re.IGNORECASE,
        ),
        lambda match: match[0] if _is_not_host(match[0].lower()) else HIDDEN,
    ),
    (re.compile(r"(?<![\w.-])[\w.-]+(?=:\d+:\d+ \[\d+\] NCCL\b)"), HIDDEN),
    (re.compile(r"(\bsrun: error: )[\w.-]+(?=:)"), rf"\1{HIDDEN}"),
    (re.compile(r"\bip(?:-\d{1,3}){4}\b"), HIDDEN),
    (re.compile(r"(\b[ug]id=\d+\()[^)*]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\b(?:pytest-of-|torchinductor_))[\w.-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\bguid\b[:=\s]{1,3})0x[0-9a-f]{16}\b", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(?<![\w:])(?:[0-9a-f]{4}:){3}[0-9a-f]{4}(?![\w:])", re.IGNORECASE), HIDDEN),
    (re.compile(r"\b(S/?N[:=]?\s+)(?=[\w-]*\d)[\w-]{6,}"), rf"\1{HIDDEN}"),
    # The rest of a home folder whose name has blanks; its first word is hidden already.
    (re.compile(r"(/(?:home|[Uu]sers)/\*\*\*)(?: [^/\s:\"',;=-]+){1,2}(?=/)"), r"\1"),
    (re.compile(r"(\\Users\\\*\*\*)(?: [^\\\s:\"',;=-]+){1,2}(?=\\)", re.IGNORECASE), r"\1"),
)


def is_identifying(key: str) -> bool:
    """Return whether the values of this key are names, device numbers or addresses."""
    return bool(_NAMES.fullmatch(re.sub(r"[\s.-]+", "_", key.strip())))


def without_others(text: str) -> str:
    """Return the text with every match of the patterns hidden."""
    for pattern, replacement in _WHO:
        text = pattern.sub(replacement, text)
    return text
