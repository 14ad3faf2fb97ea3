"""config.yaml and --set -> Settings; a setting that does not exist names the nearest one that does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from provision import yamltext
from provision.errors import UnreadableInput, WrongSetting


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


class UpgradeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a new environment may replace one that is verified and in use."""

    on_regression: Literal["keep-old", "switch"] = "keep-old"
    compare: Literal["quick", "full"] = "quick"
    threshold: float = 0.1


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default; config.yaml says what each is for."""

    vllm: str = "latest"
    exclude_vllm: str | list[str] = []
    torch: str = "auto"
    cuda: str = "auto"
    python: str = "auto"
    gpus: Literal["auto", "all"] | list[int | str] = "auto"
    profile: Literal["auto", "cuda", "cpu"] = "auto"
    flash_attn: FlashAttnSettings = FlashAttnSettings()
    sources: SourceSettings = SourceSettings()
    upgrade: UpgradeSettings = UpgradeSettings()
    extra_packages: list[str] = []
    prefix: str = "envs"
    logs: str = "logs"
    tasks: str = "tasks"
    keep: int = 2

    @property
    def excluded_vllm(self) -> list[str]:
        """Return the excluded versions; `--set exclude_vllm=0.33.0` gives one without a list."""
        return [self.exclude_vllm] if isinstance(self.exclude_vllm, str) else self.exclude_vllm


def load(text: str | None, name: str, overrides: Iterable[str] = ()) -> Settings:
    """Settings from a config file's text (None: defaults) and `key=value` overrides."""
    document = yamltext.parse(text or "", name)
    if document.data is None:
        document = yamltext.Document({}, document.lines, document.written)
    settings = yamltext.typed(document, Settings, name, WrongSetting)
    _check(settings, name, document.lines)
    for override in overrides:
        where = f"--set {override}"
        settings = _override(settings, override, where)
        _check(settings, where, {})
    at_home = {key: os.path.expanduser(getattr(settings, key)) for key in _FOLDERS}
    return msgspec.structs.replace(settings, **at_home)


def _override(settings: Settings, override: str, where: str) -> Settings:
    """One --set: the value is the text itself where text is wanted, else what YAML makes of it."""
    key, equals, value = override.partition("=")
    if not equals:
        raise WrongSetting("no value", where=where, hint=f"write --set {key}=VALUE")
    if not override.isprintable():
        raise WrongSetting("holds characters that no setting has", where=f"--set {key}", hint="write plain text")
    built = msgspec.to_builtins(settings)
    node = built
    *parents, last = key.split(".")
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        known = _known_keys(msgspec.to_builtins(Settings()))
        raise WrongSetting(f"there is no setting `{key}`", where=where, hint=yamltext.nearest(key, known))
    said = yamltext.Document(built, {}, {f"$.{key}": value})
    for candidate in _meanings(value, where):
        node[last] = candidate
        try:
            return msgspec.convert(built, Settings)
        except msgspec.ValidationError as error:
            problem = yamltext.problem(error, said, Settings)
    hint = problem.hint
    if problem.meant:
        below, value = problem.meant
        hint = f"write --set {key}{'.' * bool(below)}{below}={value}"
    raise WrongSetting(problem.what, where=where, hint=hint)


def _meanings(value: str, where: str) -> list[Any]:
    """`3.10` is text first, a number only where one is wanted; `false` is never text where it can be a switch."""
    try:
        read = yamltext.parse(value, where).data
    except UnreadableInput:
        return [value]
    return [value, read] if isinstance(read, (str, int, float)) and not isinstance(read, bool) else [read, value]


def _known_keys(node: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in node.items():
        keys.append(prefix + name)
        if isinstance(value, dict):
            keys += _known_keys(value, f"{prefix}{name}.")
    return keys


_VERSION = r"\d{1,9}(\.\d{1,9}){0,4}(\.\*|\.?(a|b|rc|post|dev)\d{1,9})?"
_SHAPES = {
    "python": (r"auto|3\.\d{1,2}", 'auto or a minor version such as "3.12"'),
    "cuda": (r"auto|\d{1,3}\.\d{1,2}", 'auto or a version such as "12.9"'),
    "vllm": (rf"latest|{_VERSION}", 'latest, "0.32.*" or "0.25.1"'),
    "torch": (rf"auto|{_VERSION}(\+\w+)?", 'auto, "2.13.*" or "2.13.0"'),
}
_FOLDERS = ("prefix", "logs", "tasks")
_ADDRESS = re.compile(r"(https?|file)://\S+")


def _check(settings: Settings, where: str, lines: dict[str, int]) -> None:
    """What types alone do not say: versions look like versions, mirrors like addresses, packages like requirements."""
    for key, what, hint in _complaints(settings):
        line = lines.get(f"$.{key}")
        raise WrongSetting(f"{key}: {what}", where=f"{where}:{line}" if line else where, hint=hint)


def _complaints(settings: Settings) -> Iterator[tuple[str, str, str]]:
    for key, (shape, example) in _SHAPES.items():
        value = getattr(settings, key)
        if not re.fullmatch(shape, value, re.ASCII):
            yield key, f"`{value[:60]}` is no version", f"write {example}"
    for i, version in enumerate(settings.excluded_vllm):
        if not re.fullmatch(_VERSION, version, re.ASCII):
            place = "exclude_vllm" if isinstance(settings.exclude_vllm, str) else f"exclude_vllm[{i}]"
            yield place, f"`{version[:60]}` is no version", 'write "0.33.0" or "0.32.*", or a list of such'
    for name, wish in msgspec.structs.asdict(settings.sources).items():
        if isinstance(wish, str) and not _ADDRESS.fullmatch(wish):
            yield f"sources.{name}", f"`{wish[:60]}` is no address", "write true, false or https://…"
    for key in _FOLDERS:
        folder = getattr(settings, key)
        in_lists = key == "prefix" and {":", ","} & {*folder}  # of PATH, and of uv's --find-links
        if not folder.strip() or not folder.isprintable() or in_lists:
            yield key, f"{folder!r} is no folder's name", f"write {key}: and a folder, such as /data/{key}"
    if not 0 <= settings.upgrade.threshold < 1:
        yield "upgrade.threshold", f"{settings.upgrade.threshold:g} is no part of 1", "write 0.1 for 10 %"
    if settings.keep < 1:
        yield "keep", "at least one environment is kept", "write keep: 1 or more"
    for i, package in enumerate(settings.extra_packages):
        if problem := _not_a_requirement(package):
            yield f"extra_packages[{i}]", f"`{package[:60]}`: {problem}", 'write it as pip takes it: "datasets>=4"'
        elif hint := _is_flash_attn(package):
            yield f"extra_packages[{i}]", f"`{package[:60]}`: flash-attn has settings of its own", hint


def _not_a_requirement(package: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    if not package.isprintable() or "\\" in package:  # an address may hold what ends or joins lines of requirements
        return "holds characters that no requirement has"
    try:
        Requirement(package)
    except InvalidRequirement as error:
        return str(error).split("\n")[0]
    return ""


def _is_flash_attn(package: str) -> str:
    """What to write instead: as an extra package it would be neither chosen for this torch and GPU nor tried."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    name = re.fullmatch(r"flash-attn(?:-(\d+))?", canonicalize_name(Requirement(package).name))
    if not name:
        return ""
    if name[1] in ("3", "4"):
        return f'write flash_attn: {{flavour: "{name[1]}"}}'
    return "write flash_attn: {mode: auto}; a wheel of your own comes with `./setup.sh wheels import`"
