"""config.yaml and --set -> Settings; a setting that does not exist names the nearest one that does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from provision import yamltext
from provision.errors import WrongSetting


class FlashAttnSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do about the flash-attn package."""

    mode: Literal["auto", "wheel", "build", "none", "require"] = "auto"
    flavour: Literal["2", "3", "4"] = "2"
    build: Literal["after", "now", "no"] = "after"
    third_party: bool = False


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sources may be used; a URL names a mirror."""

    pypi: bool | str = True
    pytorch: bool | str = True
    vllm: bool | str = True
    github: bool | str = True


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default; config.yaml says what each is for."""

    vllm: str = "latest"
    torch: str = "auto"
    cuda: str = "auto"
    python: str = "auto"
    gpus: Literal["auto", "all"] | list[int | str] = "auto"
    profile: Literal["auto", "cuda", "cpu"] = "auto"
    flash_attn: FlashAttnSettings = FlashAttnSettings()
    sources: SourceSettings = SourceSettings()
    extra_packages: list[str] = []
    prefix: str = "envs"
    logs: str = "logs"
    keep: int = 2


def load(text: str | None, name: str, overrides: Iterable[str] = ()) -> Settings:
    """Settings from a config file's text (None: defaults) and `key=value` overrides."""
    document = yamltext.parse(text or "", name)
    if document.data is None:
        document = yamltext.Document({}, document.lines, document.written)
    settings = yamltext.typed(document, Settings, name, WrongSetting)
    for override in overrides:
        settings = _override(settings, override)
    return _checked(settings, name)


def _override(settings: Settings, override: str) -> Settings:
    """One --set: the value is the text itself where text is wanted, else what YAML makes of it."""
    key, equals, value = override.partition("=")
    where = f"--set {override}"
    if not equals:
        raise WrongSetting("no value", where=where, hint=f"write --set {key}=VALUE")
    built = msgspec.to_builtins(settings)
    node = built
    *parents, last = key.split(".")
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        known = _known_keys(msgspec.to_builtins(Settings()))
        raise WrongSetting(f"no setting `{key}`", where=where, hint=yamltext.nearest(key, known))
    problem: Exception | None = None
    for candidate in (value, yamltext.parse(value, where).data):
        node[last] = candidate
        try:
            return msgspec.convert(built, Settings)
        except msgspec.ValidationError as error:
            problem = error
    raise WrongSetting(str(problem).replace("`", "").replace(" - at $.", " for "), where=where)


def _known_keys(node: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in node.items():
        keys.append(prefix + name)
        if isinstance(value, dict):
            keys += _known_keys(value, f"{prefix}{name}.")
    return keys


_VERSION = r"\d+(\.\d+)*(\.?(a|b|rc|post|dev)\d+)?(\.\*)?"
_SHAPES = {
    "python": (r"3\.\d+", 'auto or a minor version such as "3.12"'),
    "cuda": (r"\d+\.\d+", 'auto or a version such as "12.9"'),
    "vllm": (_VERSION, 'latest, "0.32.*" or "0.25.1"'),
    "torch": (rf"{_VERSION}(\+\w+)?", 'auto, "2.13.*" or "2.13.0"'),
}


def _checked(settings: Settings, name: str) -> Settings:
    """What types alone do not say: versions look like versions, packages like requirements."""
    for field, (shape, example) in _SHAPES.items():
        value = getattr(settings, field)
        if value not in ("auto", "latest") and not re.fullmatch(shape, value):
            raise WrongSetting(f"{field}: `{value}` is no version", where=name, hint=f"write {example}")
    if settings.keep < 1:
        raise WrongSetting("keep: at least one generation is kept", where=name, hint="write keep: 1 or more")
    if settings.extra_packages:
        from packaging.requirements import InvalidRequirement, Requirement

        for package in settings.extra_packages:
            try:
                Requirement(package)
            except InvalidRequirement as error:
                problem = str(error).split("\n")[0]
                raise WrongSetting(f"extra_packages: `{package}`: {problem}", where=name) from None
    return settings
