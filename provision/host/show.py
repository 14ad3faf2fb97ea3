"""Show a recording to a person: every fact by its title, why facts are missing, and warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from provision.display.tables import Rows
from provision.host._model import Host, Recording
from provision.host.record import discover

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

# Fields whose value needs no label.
_SPEAK_FOR_THEMSELVES = frozenset(
    (
        *(
            "a",
            "arch",
            "b",
            "detail",
            "driver",
            "engine",
            "family",
            "id",
            "kind",
            "model",
            "name",
            "path",
        ),
        *("place", "profile", "state", "type", "version"),
    )
)
_YES_AND_NO = {
    "acs_redirects": ("ACS redirects what GPUs send each other", "ACS redirects nothing"),
    "answers": ("answers", "does not answer"),
    "ecc": ("ECC", "no ECC"),
    "enabled": ("enabled", "not enabled"),
    "exists": ("", "does not exist yet"),
    "integrated": ("integrated", ""),
    "kubernetes": ("in Kubernetes", ""),
    "mig": ("MIG", "no MIG"),
    "no_index": ("no index is asked", ""),
    "nvswitch": ("through NVSwitch", "no NVSwitch"),
    "persistence": ("persistence mode", "no persistence mode"),
    "proxy": ("through a proxy", ""),
    "running": ("running", "not running"),
    "vgpu": ("virtual", ""),
    "writable": ("writable", "not writable"),
}
_LABELS = {
    "cc": "compute capability",
    "extra_indexes": "extra index",
    "find_links": "find-links",
    "link": "PCIe",
    "local_wheels": "local wheel",
    "numa_nodes": "NUMA nodes",
    "pairs": "",
    "pci_id": "PCI id",
    "toolkits": "",
    "trusted_hosts": "trusted host",
    "wrappers": "wrapper",
}


def table(recording: Recording) -> list[RenderableType]:
    host = Host(recording.readings)
    rows = []
    for fact in sorted(discover(), key=lambda fact: fact.title.lower()):
        if missing := host.missing(fact):
            rows.append(
                (fact.title, f"{missing.why}: {missing.detail}" if missing.detail else missing.why)
            )
        else:
            value = msgspec.to_builtins(host.value(fact))
            lines = _lines(value, plain=fact.name in {"environment", "packages"})
            rows += [(fact.title if i == 0 else "", line) for i, line in enumerate(lines)]
    return [Rows(rows), *warnings(recording)]


def warnings(recording: Recording) -> list[Text]:
    """Return where the sources of facts disagree."""
    host = Host(recording.readings)
    return [
        Text(f"warning: {warning}", style="yellow")
        for fact in sorted(discover(), key=lambda fact: fact.title.lower())
        for warning in host.warnings(fact)
    ]


def _lines(value: Any, *, plain: bool = False) -> list[str]:  # noqa: ANN401 - facts have many shapes
    """Return a value in few lines: one per entry of a list, one for all fields of a struct."""
    if isinstance(value, (list, tuple)):
        return [_in_words(item) for item in value] or ["none"]
    if not isinstance(value, dict):
        return [_in_words(value)]
    if plain:  # keys are names of variables or packages, not of fields
        return [f"{name}={entry}" for name, entry in value.items()] or ["none"]
    if value and all(isinstance(entry, dict) and entry for entry in value.values()):
        return [
            f"{name}: {_limit(name, entry) or _in_words(entry)}" for name, entry in value.items()
        ]
    nested = {
        name: entry
        for name, entry in value.items()
        if isinstance(entry, (list, tuple, dict)) and name != "flags"
    }
    fields = _in_words({name: entry for name, entry in value.items() if name not in nested})
    lines = [fields] if fields else []
    for name, entries in nested.items():
        label = _LABELS.get(name, name.replace("_", " "))
        texts = (
            [f"{key}={entry}" for key, entry in entries.items()]
            if isinstance(entries, dict)
            else map(_in_words, entries)
        )
        lines += [
            f"{label} {entry}" if label and not isinstance(entries, dict) else entry
            for entry in texts
        ]
    return lines or ["none"]


def _limit(name: str, value: dict[str, Any]) -> str:
    """Return a soft and a hard limit in words. None means unlimited."""
    if value.keys() != {"soft", "hard"}:
        return ""
    soft, hard = (
        "unlimited"
        if number is None
        else f"{number / 2**20:.0f} MiB"
        if name == "memlock"
        else str(number)
        for number in (value["soft"], value["hard"])
    )
    return soft if soft == hard else f"{soft}, can be raised to {hard}"


def _in_words(value: Any) -> str:  # noqa: ANN401 - as above
    if isinstance(value, dict):
        return ", ".join(_fields(value))
    if isinstance(value, (list, tuple)):
        return " ".join(_in_words(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _fields(value: dict[str, Any]) -> Iterator[str]:
    for name, field in value.items():
        label = _LABELS.get(name, name.replace("_", " "))
        if isinstance(field, bool):
            text = _YES_AND_NO.get(name, (label, f"no {label}"))[0 if field else 1]
        elif field in (None, [], (), {}, ""):
            text = ""
        elif name.endswith("_gb"):
            text = f"{field:.1f} GiB {label.removesuffix(' gb')}".removesuffix(" memory")
        elif isinstance(field, int) and name.endswith("s"):
            text = f"{field} {label.removesuffix('s') if field == 1 else label}"
        elif name in _SPEAK_FOR_THEMSELVES:
            text = str(field)
        else:
            text = f"{label} {_in_words(field)}"
        if text:
            yield text
