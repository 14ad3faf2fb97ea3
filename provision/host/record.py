"""Record a host, scrubbed before anything is kept, and read recordings."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import json
import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from provision.doors.reading import Reading
from provision.errors import UnreadableInput
from provision.host._model import SCHEMA, Fact, Host, Recording
from provision.host._scrub import hide_secrets
from provision.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provision.host._scrub import Scrubber


def discover() -> list[Fact[Any]]:
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    # The other modules are not imported.
    names = [path.stem for path in files if "\nFACT" in path.read_text("utf-8")]
    return [importlib.import_module(f"provision.host.{name}").FACT for name in names]


def moving_parts() -> dict[str, tuple[str, ...]]:
    return {fact.name: fact.moving for fact in discover()}


def record(
    *,
    network: bool,
    paths: Mapping[str, Path],
    sources: Mapping[str, str],
    facts: Iterable[Fact[Any]] | None = None,
) -> Recording:
    """Read this host: all facts, or those in `facts`.

    `paths` are the places that will be written, `sources` the addresses of package sources.
    """
    from provision.host._gather import gather  # loading a recording starts no process

    chosen = discover() if facts is None else list(facts)
    gathered = gather(
        [source for fact in chosen for source in fact.sources],
        network=network,
        paths=paths,
        addresses=sources,
    )
    scrubber = own_scrubber()
    readings = {key: scrub_reading(reading, scrubber) for key, reading in sorted(gathered.items())}
    host = Host(readings)
    return Recording(
        taken=_now(),
        tool=f"vllm-ready {VERSION}",
        readings=readings,
        facts={fact.name: msgspec.to_builtins(host.value(fact)) for fact in chosen},
    )


def host_with(facts: Iterable[Fact[Any]]) -> Host:
    """Read some facts of this host that need neither a network nor the places of a run."""
    return Host(record(network=False, paths={}, sources={}, facts=facts).readings)


def to_json(recording: Recording) -> bytes:
    # Sorted, so that two recordings of a host can be compared line by line.
    return msgspec.json.format(msgspec.json.encode(recording, order="sorted"), indent=2) + b"\n"


_TEXT: Final = "text"


def of_text(text: str) -> Recording:
    """Return the recording of a host that a text describes: that text, without its secrets."""
    return Recording(
        taken=_now(),
        tool=f"vllm-ready {VERSION}",
        readings={_TEXT: Reading(outcome="ok", text=hide_secrets(text))},
    )


def pasted(recording: Recording) -> str | None:
    """Return the text that a recording was made of; None for that of a host."""
    text = recording.readings.get(_TEXT)
    return text.text if text and text.outcome == "ok" else None


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def load(text: str, name: str) -> Recording:
    again = "record the host again: ./setup.sh host -o FILE"
    try:
        document = msgspec.json.decode(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UnreadableInput(f"is not complete JSON: {error}", where=name, hint=again) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise _other_document(schema, name)
    try:
        return msgspec.convert(document, Recording)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UnreadableInput(
            f"is not a host recording: {error}", where=name, hint=again
        ) from error


def _other_document(schema: object, name: str) -> UnreadableInput:
    if isinstance(schema, str) and re.fullmatch(r"vllm-ready/host/\d+", schema):
        return UnreadableInput(
            f"its schema is {schema}; this vllm-ready reads {SCHEMA}",
            where=f"{name}: schema",
            hint="use the version of vllm-ready that made it, or update this one",
        )
    problem = f"its schema is {schema!r}"[:80] if schema is not None else "it names no schema"
    return UnreadableInput(
        f"is not a host recording: {problem}",
        where=f"{name}: schema",
        hint=f'a recording says "schema": "{SCHEMA}"; ./setup.sh host -o FILE makes one',
    )


def own_scrubber() -> Scrubber:
    from provision.host._scrub import Scrubber  # compiling its patterns takes a while

    home = os.path.expanduser("~")
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")} | {
        Path(home).name
    }
    with contextlib.suppress(KeyError):  # a user id without a passwd entry
        users.add(pwd.getpwuid(os.getuid()).pw_name)
    return Scrubber(home=home, users=tuple(users), hosts=(os.uname().nodename,))


def scrub_reading(reading: Reading, scrubber: Scrubber) -> Reading:
    """Scrub a reading. JSON is scrubbed value by value, so that no pattern breaks its quotes."""
    try:
        value = json.loads(reading.text) if reading.text.startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        value = None
    return Reading(
        outcome=reading.outcome,
        text=scrubber.text(reading.text) if value is None else json.dumps(scrubber.value(value)),
        detail=scrubber.text(reading.detail),
    )
