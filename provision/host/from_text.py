"""A host given as text: a recording, a pasted collect_env, or the short description; told apart by what is in it."""

from __future__ import annotations

from provision.errors import UnreadableInput
from provision.host._model import Host


def parse(text: str, name: str) -> Host:
    """The host that a text describes, whichever of the three it is."""
    if not text.strip():
        raise UnreadableInput(
            "the file is empty",
            where=name,
            hint="give a recording (vllm-ready host -o FILE), a collect_env text or YAML",
        )
    if text.lstrip("\ufeff \t\r\n").startswith("{") and '"' in text:
        from provision.host import record

        return record.load(text, name)
    from provision.host import from_description

    if from_description.looks_like(text):
        return from_description.parse(text, name)
    from provision.host import from_collect_env

    if from_collect_env.looks_like(text):
        return from_collect_env.parse(text, name)
    return from_description.parse(text, name)  # which says what is wrong with it
