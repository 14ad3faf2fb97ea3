"""Read a host from a text: a recording, a pasted collect_env, or the short description."""

from __future__ import annotations

from provision.errors import UnreadableInput
from provision.host._model import Host

_WAYS = (
    "give a recording (./setup.sh host -o FILE), the output of collect_env, "
    "or a short YAML with gpus: [{name: …}]"
)


def parse(text: str, name: str) -> Host:
    if not text.strip("\ufeff \t\r\n\0"):
        raise UnreadableInput("is empty", where=name, hint=_WAYS)
    from provision.host import from_description

    if from_description.looks_like(text):
        return from_description.parse(text, name)
    is_object = text.lstrip("\ufeff \t\r\n").startswith("{")
    if is_object and '"schema"' in text:
        return _recording(text, name)
    from provision.host import from_paste

    # The answer of a tracker's API is an object, too, and holds the body of an issue.
    if from_paste.looks_like(text):
        return from_paste.parse(text, name)
    if is_object:
        return _recording(text, name)  # its complaint says what a recording needs
    if from_description.looks_begun(text):
        return from_description.parse(text, name)  # its complaint names line and correction
    raise UnreadableInput(
        "is not a host description that can be read", where=f"{name}:1", hint=_WAYS
    )


def _recording(text: str, name: str) -> Host:
    from provision.host import record

    return record.load(text, name)
