"""The addresses of package sources: built-in, from the host's settings, or a mirror."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provision.settings import Settings

PYTORCH: Final = "https://download.pytorch.org/whl/"
VLLM: Final = "https://wheels.vllm.ai/"
GITHUB: Final = "https://github.com/"


def configured(installers: dict[str, dict[str, str]]) -> str | None:
    """Return the index that uv or else pip is configured with on this host."""
    uv, pip = installers["uv"], installers["pip"]
    return uv.get("default-index") or uv.get("index-url") or pip.get("index-url")


def origin(name: str, settings: Settings, environ: Mapping[str, str]) -> str:
    """Return the setting or variable that the address of a source comes from."""
    variables = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
    if name == "pypi" and not isinstance(settings.sources.pypi, str):
        return next((variable for variable in variables if environ.get(variable)), "sources.pypi")
    return f"sources.{name}"


def addresses(settings: Settings, index: str) -> dict[str, str]:
    """Return the address of every allowed source; `index` is the host's address for PyPI."""
    defaults = {"pypi": index, "pytorch": PYTORCH, "vllm": VLLM, "github": GITHUB}
    choices = {name: getattr(settings.sources, name) for name in defaults}
    return {
        name: choice if isinstance(choice, str) else defaults[name]
        for name, choice in choices.items()
        if choice is not False
    }
