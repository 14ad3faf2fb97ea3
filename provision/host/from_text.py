"""Read a host from a text: a recording, a paste, or the short description."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from provision.errors import UnreadableInput
from provision.host._model import Found, Host

_WAYS = (
    "give a recording (./setup.sh host -o FILE), the output of collect_env or nvidia-smi, "
    "or a short YAML with gpus: [{name: …}]"
)


# Titles of collect_env that no short description has.
OWN_TITLES: Final = (
    "pytorch version",
    "gpu models and configuration",
    "nvidia driver version",
    "libc version",
)


class HostText(msgspec.Struct, frozen=True, kw_only=True):
    """A text about a host, and its facts. `found` is empty for a recording of a host.

    A recording that was made of a paste is that paste again, and `text` is that of the paste.
    """

    kind: Literal["recording", "paste", "description"]
    text: str
    host: Host
    found: dict[str, Found] = {}


def parse(text: str, name: str) -> Host:
    return read(text, name).host


def read(text: str, name: str) -> HostText:
    if not text.strip("\ufeff \t\r\n\0"):
        raise UnreadableInput("is empty", where=name, hint=_WAYS)
    from provision.host import from_description

    is_object = text.lstrip("\ufeff \t\r\n").startswith("{")
    if is_object and '"schema"' in text:
        return _recording(text, name)
    if from_description.looks_like(text) and not _is_paste_with_more(text):
        return _described(text, name)
    from provision.host import from_paste

    # The answer of a tracker's API is an object, too, and holds the body of an issue.
    if from_paste.looks_like(text):
        found = from_paste.read(text, name)
        return HostText(kind="paste", text=text, host=_host(found), found=found)
    if is_object:
        return _recording(text, name)  # its complaint says what a recording needs
    if from_description.looks_begun(text):
        return _described(text, name)  # its complaint names line and correction
    raise UnreadableInput(
        "is not a host description that can be read", where=f"{name}:1", hint=_WAYS
    )


def _is_paste_with_more(text: str) -> bool:
    """Return whether a text with a line of YAML is a paste to which that line was added."""
    lower = text.lower()
    if not any(title in lower for title in OWN_TITLES):
        return False
    from provision.host import from_paste  # loading it takes a tenth of a plan

    return from_paste.has_own_titles(text)


def _described(text: str, name: str) -> HostText:
    from provision.host import from_description

    found = from_description.read(text, name)
    return HostText(kind="description", text=text, host=_host(found), found=found)


def _host(found: dict[str, Found]) -> Host:
    return Host(described={fact: told.value for fact, told in found.items()})


def _recording(text: str, name: str) -> HostText:
    from provision.host import record

    recording = record.load(text, name)
    if (pasted := record.pasted(recording)) is not None:
        return read(pasted, name)
    return HostText(kind="recording", text=text, host=Host(recording.readings))
