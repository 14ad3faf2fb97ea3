"""The lock that uv resolves (pylock.toml): each package with the best wheel for the target."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from packaging.tags import (
    Tag,
    compatible_tags,
    cpython_tags,
    create_compatible_tags_selector,
)
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from provision.doors import addresses
from provision.errors import SourceFailed, WrongSetting
from provision.steps.model import Pin, Wheel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Offers: TypeAlias = list[tuple[Wheel, frozenset[Tag]]]

_PLATFORMS = (17, 28, *range(31, 41))  # the glibc minor versions that uv knows
_OLD_NAMES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


def pins(text: str, python: str, platform: str) -> tuple[Pin, ...]:
    """Return the packages of a lock; `platform` is as in plans: x86_64-manylinux_2_36."""
    select = create_compatible_tags_selector(tags(python, platform))
    return tuple(_pin(package, select) for package in tomllib.loads(text).get("packages", ()))


def platform(plan_platform: str) -> str:
    """Return the nearest platform that uv knows, with the same or an older glibc."""
    machine, _, glibc = plan_platform.partition("-manylinux_2_")
    known = max((minor for minor in _PLATFORMS if minor <= int(glibc)), default=17)
    return f"{machine}-manylinux_2_{known}"


def tags(python: str, platform: str) -> list[Tag]:
    """Return the wheel tags that an interpreter accepts on a platform, the best first."""
    machine, _, newest = platform.partition("-manylinux_2_")
    platforms = []
    # From the newest glibc down, so that the rank of a tag is its quality. 2.5 is manylinux1.
    for minor in range(int(newest), 4, -1):
        platforms += [f"manylinux_2_{minor}_{machine}"]
        platforms += [f"{_OLD_NAMES[minor]}_{machine}"] if minor in _OLD_NAMES else []
    platforms.append(f"linux_{machine}")
    major, minor_ = map(int, python.split("."))
    interpreter = f"cp{major}{minor_}"
    version = (major, minor_)
    return [
        *cpython_tags(version, abis=[interpreter], platforms=platforms),
        *compatible_tags(version, interpreter=interpreter, platforms=platforms),
    ]


def _pin(package: dict[str, Any], select: Callable[[Offers], Iterator[Wheel]]) -> Pin:
    files = [*package.get("wheels", ()), *([package["archive"]] if "archive" in package else ())]
    wheels = [_wheel(file) for file in files]
    try:
        offers = [(wheel, parse_wheel_filename(wheel.file)[3]) for wheel in wheels]
    except InvalidWheelFilename:
        # An `archive` comes from an address in extra_packages and may be a source release.
        offers = []
    if not offers:
        raise WrongSetting(
            f"extra_packages: {package['name']} is not a wheel",
            hint="name a version or a .whl file: only wheels can be locked",
        )
    # uv resolved for this target: where no tag fits by name, its only offer is taken.
    wheel = next(select(offers), wheels[0])
    return Pin(
        name=canonicalize_name(package["name"]),
        version=package.get("version") or str(parse_wheel_filename(wheel.file)[1]),
        wheel=wheel,
    )


def _wheel(file: dict[str, Any]) -> Wheel:
    if "url" in file:
        # An address may contain a login, which must not reach any file.
        url = re.sub(r"(?<=://)[^/@]*@", "", file["url"])
    else:
        url = Path(file["path"]).absolute().as_uri()
    if "sha256" not in file["hashes"]:
        raise SourceFailed(
            "the index has no SHA-256 of this file",
            where=addresses.scrubbed(url),
            hint="use another mirror",
        )
    return Wheel(url=url, sha256=file["hashes"]["sha256"], size=file.get("size", 0))
