"""Assume the facts that a text about a host leaves open, each with its reason.

GPUs and driver decide what can run: they are never assumed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from provision.host import glibc, gpus, machine, os_release, pythons
from provision.host._model import Missing
from provision.host.facts_read import Assumption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.host._model import Fact, Host
    from provision.host.os_release import OsRelease

_ARM: Final = re.compile(r"\b(?:GH200|GB\d{2,3}|Grace|Orin|Thor|Xavier|Tegra)\b", re.IGNORECASE)
_USUAL_GLIBC: Final = "2.35"
_RED_HAT: Final = {"7": "2.17", "8": "2.28", "9": "2.34", "10": "2.39"}
# glibc by the id of a system and the beginning of its version. A longer beginning comes first.
_GLIBC: Final = {
    "ubuntu": {"18.": "2.27", "20.": "2.31", "22.": "2.35", "24.": "2.39", "25.": "2.41"},
    "linuxmint": {"20": "2.31", "21": "2.35", "22": "2.39"},
    "pop": {"20.": "2.31", "22.": "2.35", "24.": "2.39"},
    "debian": {"10": "2.28", "11": "2.31", "12": "2.36", "13": "2.41"},
    "amzn": {"2023": "2.34", "2": "2.26"},
    "sles": {"12": "2.22", "15": "2.31"},
    "fedora": {"38": "2.37", "39": "2.38", "40": "2.39", "41": "2.40", "42": "2.41"},
    **dict.fromkeys(("rhel", "centos", "rocky", "almalinux", "ol"), _RED_HAT),
}


def complete(host: Host, python: str = "auto") -> tuple[Host, tuple[Assumption, ...]]:
    """Return the host with its assumptions. A `python` of the settings needs none."""
    assumed = list(_assumptions(host, python))
    return (
        host.replace({fact.name: value for fact, value, _ in assumed}),
        tuple(said for _, _, said in assumed),
    )


def _assumptions(host: Host, python: str) -> Iterator[tuple[Fact[Any], object, Assumption]]:
    if _is_open(host, machine.FACT):
        kind, because = _machine(host)
        yield machine.FACT, kind, Assumption(fact="machine", value=kind, because=because)
    if _is_open(host, glibc.FACT):
        version, because = _glibc(host.known(os_release.FACT))
        yield glibc.FACT, version, Assumption(fact="glibc", value=version, because=because)
    if _is_open(host, pythons.FACT) and python == "auto":
        because = "no line names a Python; uv downloads the one that is planned"
        yield pythons.FACT, (), Assumption(fact="python", value="any", because=because)


def _is_open(host: Host, fact: Fact[Any]) -> bool:
    value = host.value(fact)
    return isinstance(value, Missing) and value.why == "not read"


def _machine(host: Host) -> tuple[str, str]:
    for gpu in host.known(gpus.FACT) or ():
        if _ARM.search(gpu.name):
            return "aarch64", f"the processor beside `{gpu.name}` is an Arm"
    return "x86_64", "no line names it, and nearly all GPU hosts are x86_64"


def _glibc(system: OsRelease | None) -> tuple[str, str]:
    if system is None:
        return _USUAL_GLIBC, "no line names it or the system; Ubuntu 22.04 has it"
    versions = _GLIBC.get(system.id, {})
    for begin, version in versions.items():
        if (system.version or "").startswith(begin):
            return version, f"{system.name} has it"
    return _USUAL_GLIBC, f"no line names it, and `{system.name}` does not tell; Ubuntu 22.04 has it"
