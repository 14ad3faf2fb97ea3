"""What was asked for and resolved, kept beside the generations: the same wish goes on from there, without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from provision.catalog import rows
from provision.doors import files
from provision.flash_attn import partial_build
from provision.host import driver, glibc, gpus, machine
from provision.host._model import Fact, Host
from provision.plan._model import Plan, Refusal
from provision.settings import Settings, for_fingerprint
from provision.steps.model import Lock
from provision.version import VERSION

_FILE = ".wanted.json"

# What a plan would change with; that a new Python was installed, or a disk filled up, is no reason to change it.
FACTS: tuple[Fact[Any], ...] = (machine.FACT, glibc.FACT, driver.FACT, gpus.FACT)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and its lock, under the wish that they came from, and what was found to stand against candidates."""

    wish: str
    tool: str = ""
    plan: Plan
    lock: Lock
    host_python: str
    against: tuple[Refusal, ...] = ()


def wish(host: Host, settings: Settings) -> str:
    """The settings and those facts of the host that a plan rests on, as one number."""
    facts = {fact.name: msgspec.to_builtins(host.value(fact)) for fact in FACTS}
    for gpu in facts[gpus.FACT.name] if isinstance(facts[gpus.FACT.name], (list, tuple)) else ():
        gpu.pop("link", None)  # its speed follows the load
    choices = for_fingerprint(settings)
    if only := partial_build.only():  # the wheel that is made of it is nobody else's
        choices["only"] = only
    said = msgspec.json.encode([choices, facts], order="sorted")
    return hashlib.sha256(said).hexdigest()


def tool() -> str:
    """What planned: this version, with what it knows of published builds.

    Kept apart from the wish, which stays what the user asked for: a newer vllm-ready plans anew, since it may know
    better what runs here, but where that needs a network that is not there, the older one's plan still stands.
    """
    known = hashlib.sha256()
    for table in sorted(Path(rows.DATA).glob("*.jsonl")):
        known.update(table.read_bytes())
    return f"{VERSION} {known.hexdigest()}"


def load(prefix: Path) -> Wanted | None:
    """What was wanted last in this prefix, if it can still be read."""
    try:
        return msgspec.json.decode((prefix / _FILE).read_bytes(), type=Wanted)
    except (OSError, msgspec.MsgspecError):
        return None


def save(prefix: Path, wanted: Wanted | None) -> None:
    """From here on this is wanted (None: nothing); what is there already is not written again."""
    if wanted is None:
        (prefix / _FILE).unlink(missing_ok=True)
    elif wanted != load(prefix):
        files.write(prefix / _FILE, msgspec.json.encode(wanted), mode=0o600)
