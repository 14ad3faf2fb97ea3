"""Settings: config.yaml and --set, with errors that name the line and the right spelling.

A new setting is a field here, a line in config.yaml and one place that uses it. Versions and lists
of versions also get a row in _SHAPES.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from provision import yamltext
from provision.errors import UnreadableInput, WrongSetting


class FlashAttnSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The choices for the optional flash-attn package."""

    mode: Literal["auto", "wheel", "build", "none", "require"] = "auto"
    flavour: Literal["2", "3", "4"] = "2"
    build: Literal["after", "now", "no"] = "after"
    third_party: bool = False


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The package sources that may be used; a URL names a mirror."""

    pypi: bool | str = True
    pytorch: bool | str = True
    vllm: bool | str = True
    github: bool | str = True


class UpgradeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The conditions under which a new environment replaces a verified one."""

    on_regression: Literal["keep-old", "switch"] = "keep-old"
    compare: Literal["quick", "full"] = "quick"
    threshold: float = 0.1


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default; config.yaml explains each."""

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
    keep_logs: int = 50

    @property
    def excluded_vllm(self) -> list[str]:
        """Return the excluded versions; `--set exclude_vllm=0.33.0` gives one without a list."""
        return [self.exclude_vllm] if isinstance(self.exclude_vllm, str) else self.exclude_vllm


# Settings of the first release. They are part of fingerprints even at their defaults; a newer
# setting only where it was changed, so that an upgrade of vllm-ready rebuilds nothing.
_ALWAYS_IN_FINGERPRINTS = {
    *("vllm", "torch", "cuda", "python", "gpus", "profile", "flash_attn", "sources"),
    *("extra_packages", "prefix", "logs", "keep"),
}


def for_fingerprint(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide what is installed, for the fingerprint of a resolution."""
    values = {**msgspec.to_builtins(settings), "prefix": "", "logs": "", "keep": 0}
    # These decide what happens after the installation.
    for name in ("tasks", "upgrade", "keep_logs"):
        del values[name]
    defaults = msgspec.to_builtins(Settings())
    return {
        name: value
        for name, value in values.items()
        if name in _ALWAYS_IN_FINGERPRINTS or value != defaults[name]
    }


def load(text: str | None, name: str, overrides: Iterable[str] = ()) -> Settings:
    """Return the settings of a config file (None: the defaults) with `key=value` overrides.

    Raise WrongSetting if a key or a value is wrong.
    """
    document = yamltext.parse(text or "", name)
    if document.data is None:
        document = yamltext.Document({}, document.lines, document.written)
    settings = yamltext.typed(document, Settings, name, WrongSetting)
    _check(settings, name, document.lines)
    for override in overrides:
        where = f"--set {override}"
        settings = _override(settings, override, where)
        _check(settings, where, {})
    return msgspec.structs.replace(
        settings, **{key: os.path.expanduser(getattr(settings, key)) for key in _FOLDERS}
    )


def _override(settings: Settings, override: str, where: str) -> Settings:
    key, equals, text = override.partition("=")
    if not equals:
        raise WrongSetting("the value is missing", where=where, hint=f"write --set {key}=VALUE")
    if not override.isprintable():
        raise WrongSetting(
            "contains characters that are not printable",
            where=f"--set {key}",
            hint="write plain text",
        )
    values = msgspec.to_builtins(settings)
    node = values
    *parents, last = key.split(".")
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        raise WrongSetting(
            f"there is no setting `{key}`",
            where=where,
            hint=yamltext.nearest_or_all(key, [*_known_keys(msgspec.to_builtins(Settings()))]),
        )
    document = yamltext.Document(values, {}, {f"$.{key}": text})
    for candidate in _meanings(text, where, is_version=key in _SHAPES):
        node[last] = candidate
        try:
            return msgspec.convert(values, Settings)
        except msgspec.ValidationError as error:
            problem = yamltext.problem(error, document, Settings)
    hint = problem.hint
    if problem.suggestion:
        below, value = problem.suggestion
        hint = f"write --set {key}{'.' * bool(below)}{below}={value}"
    raise WrongSetting(problem.what, where=where, hint=hint)


def _meanings(text: str, where: str, *, is_version: bool) -> list[Any]:
    """Return what the text of a --set may mean, the first that fits is used.

    A shell removes quotes, so a number is text wherever the setting takes text: in python=3.10 as
    in exclude_vllm=[0.33]. A word such as `false` is text only where no switch fits.
    """
    try:
        document = yamltext.parse(text, where)
    except UnreadableInput:
        return [text]
    value = document.data
    if isinstance(value, list):
        texts = [document.written[f"$[{i}]"] if _is_number(v) else v for i, v in enumerate(value)]
        return [value, *([texts] if is_version else []), text]
    return [text, value] if _is_number(value) or isinstance(value, str) else [value, text]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _known_keys(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _known_keys(value, f"{prefix}{name}.")


# The form of a version, or of each version in a list, with an example for the error message.
_VERSION = r"\d{1,9}(\.\d{1,9}){0,4}(\.\*|\.?(a|b|rc|post|dev)\d{1,9})?"
_SHAPES = {
    "python": (r"auto|3\.\d{1,2}", 'auto or a minor version such as "3.12"'),
    "cuda": (r"auto|\d{1,3}\.\d{1,2}", 'auto or a version such as "12.9"'),
    "vllm": (rf"latest|{_VERSION}", 'latest, "0.32.*" or "0.25.1"'),
    "exclude_vllm": (_VERSION, '"0.33.0" or "0.32.*", or a list of them'),
    "torch": (rf"auto|{_VERSION}(\+\w+)?", 'auto, "2.13.*" or "2.13.0"'),
}
_FOLDERS = ("prefix", "logs", "tasks")
_ADDRESS = re.compile(r"(https?|file)://\S+")


def _check(settings: Settings, where: str, lines: dict[str, int]) -> None:
    """Raise WrongSetting for wrong values that their types allow."""
    for key, what, hint in _complaints(settings):
        line = lines.get(f"$.{key}")
        raise WrongSetting(f"{key}: {what}", where=f"{where}:{line}" if line else where, hint=hint)


def _too_few(settings: Settings) -> Iterator[tuple[str, str, str]]:
    if settings.keep < 1:
        yield "keep", "at least one environment must be kept", "write keep: 1 or more"
    if settings.keep_logs < 0:
        yield "keep_logs", "a number of runs cannot be negative", "write keep_logs: 0 to keep all"


def _complaints(settings: Settings) -> Iterator[tuple[str, str, str]]:
    for key, (shape, example) in _SHAPES.items():
        value = getattr(settings, key)
        places = (
            {f"{key}[{index}]": text for index, text in enumerate(value)}
            if isinstance(value, list)
            else {key: value}
        )
        for place, text in places.items():
            if not re.fullmatch(shape, text, re.ASCII):
                yield place, f"`{text[:60]}` is not a version", f"write {example}"
    for name, choice in msgspec.structs.asdict(settings.sources).items():
        if isinstance(choice, str) and not _ADDRESS.fullmatch(choice):
            yield (
                f"sources.{name}",
                f"`{choice[:60]}` is not an address",
                "write true, false or https://…",
            )
    for key in _FOLDERS:
        folder = getattr(settings, key)
        # The prefix becomes part of PATH and of uv's --find-links, where these separate entries.
        if (
            not folder.strip()
            or not folder.isprintable()
            or (key == "prefix" and {":", ","} & {*folder})
        ):
            yield (
                key,
                f"{folder!r} is not a valid folder name",
                f"write {key}: and a folder, such as /data/{key}",
            )
    if not 0 <= settings.upgrade.threshold < 1:
        yield (
            "upgrade.threshold",
            f"{settings.upgrade.threshold:g} is not at least 0 and below 1",
            "write 0.1 for 10 %",
        )
    yield from _too_few(settings)
    for i, package in enumerate(settings.extra_packages):
        key = f"extra_packages[{i}]"
        if problem := _requirement_problem(package):
            yield (
                key,
                f"`{package[:60]}`: {problem}",
                'write a requirement as for pip: "datasets>=4"',
            )
        elif hint := _flash_attn_setting(package):
            yield key, f"`{package[:60]}`: flash-attn has its own settings", hint


def _requirement_problem(package: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    # A URL in a requirement may contain characters that end or join lines of requirements.txt.
    if not package.isprintable() or "\\" in package:
        return "contains characters that no requirement has"
    try:
        Requirement(package)
    except InvalidRequirement as error:
        return str(error).split("\n")[0]
    except RecursionError:
        return "is nested too deeply"
    return ""


def _flash_attn_setting(package: str) -> str:
    """Return the setting to use instead of a flash-attn package; "" for other packages.

    An extra package would neither be chosen for this torch and GPU nor be tried.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    match = re.fullmatch(r"flash-attn(?:-(\d+))?", canonicalize_name(Requirement(package).name))
    if not match:
        return ""
    if match[1] in ("3", "4"):
        return f'write flash_attn: {{flavour: "{match[1]}"}}'
    return "write flash_attn: {mode: auto}; add your own wheel with `./setup.sh wheels import`"
