"""The addresses of package sources: built-in, from the host's settings, or a mirror."""

from __future__ import annotations

from typing import Final

from provision.settings import Settings

PYTORCH: Final = "https://download.pytorch.org/whl/"
VLLM: Final = "https://wheels.vllm.ai/"
GITHUB: Final = "https://github.com/"


def configured(installers: dict[str, dict[str, str]]) -> str | None:
    """Return the index that uv or else pip is configured with on this host."""
    uv, pip = installers["uv"], installers["pip"]
    return uv.get("default-index") or uv.get("index-url") or pip.get("index-url")


def addresses(settings: Settings, index: str) -> dict[str, str]:
    """Return the address of every allowed source; `index` is the host's address for PyPI."""
    defaults = {"pypi": index, "pytorch": PYTORCH, "vllm": VLLM, "github": GITHUB}
    choices = {name: getattr(settings.sources, name) for name in defaults}
    return {
        name: choice if isinstance(choice, str) else defaults[name]
        for name, choice in choices.items()
        if choice is not False
    }
