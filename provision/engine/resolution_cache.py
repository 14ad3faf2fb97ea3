"""The last resolution of a prefix: with it the same request needs no network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from provision.catalog import rows
from provision.doors import files
from provision.host import driver, glibc, gpus, machine
from provision.host._model import Fact, Host
from provision.plan._model import Plan, Refusal
from provision.settings import Settings, for_fingerprint
from provision.steps.model import Lock
from provision.version import VERSION

_FILE = ".wanted.json"

# A plan changes with these. A new Python or a full disk is no reason to plan again.
FACTS: tuple[Fact[Any], ...] = (machine.FACT, glibc.FACT, driver.FACT, gpus.FACT)


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and its lock, with the request that they answer.

    `wish` identifies the request, `tool` the version that planned. `against` holds refused
    candidates of an optional step, so that later runs do not try them again. `answered` holds the
    sources that have answered a run of this prefix, with their addresses.
    """

    wish: str
    tool: str = ""
    plan: Plan
    lock: Lock
    host_python: str
    against: tuple[Refusal, ...] = ()
    answered: dict[str, str] = {}


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A resolution with its hash: a flipped bit must not look like a fault of the index."""

    sha256: str
    resolution: msgspec.Raw


def wish(host: Host, settings: Settings, more: Mapping[str, str] | None = None) -> str:
    """Return one number for the settings and those facts of the host that a plan rests on.

    `more` are choices made outside the settings.
    """
    facts = {fact.name: msgspec.to_builtins(host.value(fact)) for fact in FACTS}
    known = facts[gpus.FACT.name]
    for gpu in known if isinstance(known, (list, tuple)) else ():
        gpu.pop("link", None)  # its speed follows the load
    choices = {**for_fingerprint(settings), **(more or {})}
    document = msgspec.json.encode([choices, facts], order="sorted")
    return hashlib.sha256(document).hexdigest()


def tool() -> str:
    """Return the version that plans, with a hash of its catalogue.

    It is no part of the request. A newer vllm-ready plans again, because it may know better
    releases; where the network is missing for that, the older plan is kept.
    """
    catalogue = hashlib.sha256()
    for table in sorted(Path(rows.DATA).glob("*.jsonl")):
        catalogue.update(table.read_bytes())
    return f"{VERSION} {catalogue.hexdigest()}"


def load(prefix: Path) -> Resolution | None:
    """Return the last resolution of a prefix, if it can still be read."""
    sealed = files.read_document(prefix / _FILE, _Sealed)
    if sealed and _digest(sealed.resolution) == sealed.sha256:
        return files.decode_document(bytes(sealed.resolution), Resolution)
    return files.read_document(prefix / _FILE, Resolution)  # of an earlier version


def save(prefix: Path, resolution: Resolution | None) -> None:
    """Store a resolution (None: remove it). An equal one is not written again."""
    if resolution is None:
        (prefix / _FILE).unlink(missing_ok=True)
    elif resolution != load(prefix):
        content = msgspec.Raw(msgspec.json.encode(resolution))
        sealed = _Sealed(sha256=_digest(content), resolution=content)
        files.write_own(prefix / _FILE, msgspec.json.encode(sealed), mode=0o600)


def _digest(content: msgspec.Raw) -> str:
    return hashlib.sha256(bytes(content)).hexdigest()
