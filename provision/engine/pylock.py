"""The lock as uv resolves it (pylock.toml): each distribution with the one file that fits the target best."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from provision.doors import sessions
from provision.errors import SourceFailed, WrongSetting
from provision.steps.model import Pin, Wheel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PLATFORMS = (17, 28, *range(31, 41))  # the glibc minors that uv has a name for
_OLD_NAMES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


def pins(text: str, python: str, platform: str) -> tuple[Pin, ...]:
    """Every package of a lock, in its order; `platform` is the plan's, such as x86_64-manylinux_2_36."""
    ranks = {tag: rank for rank, tag in enumerate(tags(python, platform))}
    return tuple(_pin(package, ranks) for package in tomllib.loads(text).get("packages", ()))


def platform(of_the_plan: str) -> str:
    """The plan's platform as uv knows it: the nearest glibc that is not newer."""
    machine, _, minor = of_the_plan.partition("-manylinux_2_")
    return f"{machine}-manylinux_2_{max((one for one in _PLATFORMS if one <= int(minor)), default=17)}"


def tags(python: str, platform: str) -> list[Tag]:
    """What such an interpreter takes there, the best first."""
    machine, _, newest = platform.partition("-manylinux_2_")
    platforms = []
    for minor in range(int(newest), 4, -1):
        platforms += [f"manylinux_2_{minor}_{machine}"]
        platforms += [f"{_OLD_NAMES[minor]}_{machine}"] if minor in _OLD_NAMES else []
    platforms.append(f"linux_{machine}")
    major, minor_ = map(int, python.split("."))
    interpreter = f"cp{major}{minor_}"
    own = cpython_tags((major, minor_), abis=[interpreter], platforms=platforms)
    return [*own, *compatible_tags((major, minor_), interpreter=interpreter, platforms=platforms)]


def _pin(package: dict[str, Any], ranks: dict[Tag, int]) -> Pin:
    files = [*package.get("wheels", ()), *([package["archive"]] if "archive" in package else ())]
    ranked = [(_rank(wheel, ranks), number) for number, wheel in enumerate(map(_wheel, files))]
    if not ranked or None in {rank for rank, _ in ranked}:
        raise WrongSetting(
            f"extra_packages: {package['name']} is no wheel",
            hint="name a version or a .whl file: only those can be locked",
        )
    wheel = _wheel(files[min(ranked)[1]])
    version = package.get("version") or str(parse_wheel_filename(wheel.file)[1])
    return Pin(name=canonicalize_name(package["name"]), version=version, wheel=wheel)


def _wheel(file: dict[str, Any]) -> Wheel:
    # A login may stand in an address: it stays out of every file.
    url = re.sub(r"(?<=://)[^/@]*@", "", file["url"]) if "url" in file else Path(file["path"]).absolute().as_uri()
    if "sha256" not in file["hashes"]:
        raise SourceFailed("the index gives no SHA-256 of it", where=sessions.scrubbed(url), hint="name another mirror")
    return Wheel(url=url, sha256=file["hashes"]["sha256"], size=file.get("size", 0))


def _rank(wheel: Wheel, ranks: dict[Tag, int]) -> int | None:
    try:
        fits = parse_wheel_filename(wheel.file)[3]
    except InvalidWheelFilename:
        return None
    return min((ranks[tag] for tag in fits if tag in ranks), default=len(ranks))
