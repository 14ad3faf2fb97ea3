"""Where each package source lives: its own address, the host's configuration, or the mirror that config.yaml names."""

from __future__ import annotations

from typing import Final

from provision.settings import Settings

PYTORCH: Final = "https://download.pytorch.org/whl/"
VLLM: Final = "https://wheels.vllm.ai/"
GITHUB: Final = "https://github.com/"


def configured(installers: dict[str, dict[str, str]]) -> str | None:
    """The index that uv or pip is set up with on this host, uv's first."""
    uv, pip = installers["uv"], installers["pip"]
    return uv.get("default-index") or uv.get("index-url") or pip.get("index-url")


def addresses(settings: Settings, index: str) -> dict[str, str]:
    """The address of every source that the settings allow; `index` is what the host uses for PyPI."""
    own = {"pypi": index, "pytorch": PYTORCH, "vllm": VLLM, "github": GITHUB}
    wishes = {name: getattr(settings.sources, name) for name in own}
    return {name: wish if isinstance(wish, str) else own[name] for name, wish in wishes.items() if wish is not False}
