"""The glibc that the dependencies of a release need, beyond the one of its own wheel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from packaging.version import Version

from provision.catalog.published import WheelName
from provision.doors import at_once, network
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from provision.catalog.rows import Machine

_PARALLEL = 8
# Markers are evaluated for this Python, which every release of these years supports.
_PYTHON = {
    "python_version": "3.12",
    "python_full_version": "3.12.0",
    "implementation_name": "cpython",
}


def glibc_floor(
    needed: dict[str, list[Requirement]], machine: Machine, index: str
) -> tuple[str, str] | None:
    """Return the highest glibc that a dependency needs, and the name of that dependency."""
    environment = {
        "platform_machine": machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        **_PYTHON,
    }
    applicable = [
        requirement
        for requirements in needed.values()
        for requirement in requirements
        if requirement.specifier
        and (not requirement.marker or requirement.marker.evaluate(environment))
    ]
    jobs = {
        number: partial(_lowest_glibc, requirement, machine, index)
        for number, requirement in enumerate(applicable)
    }
    lowest = at_once.run_all(jobs, limit=_PARALLEL)
    floors = [(glibc, applicable[number].name) for number, glibc in lowest.items() if glibc]
    return max(floors, key=lambda floor: Version(floor[0]), default=None)


def _lowest_glibc(requirement: Requirement, machine: Machine, index: str) -> str | None:
    """Return the oldest glibc that a suitable wheel runs on; None where one runs anywhere."""
    try:
        page = network.project(index, requirement.name)
    except SourceFailed:
        # A mirror may lack a dependency; the resolver reports that.
        return None
    wheels = [
        package.filename
        for package in page.packages
        if package.package_type == "wheel"
        and package.version
        and requirement.specifier.contains(package.version)
    ]
    if any(file.endswith("-any.whl") for file in wheels):
        return None
    names = [name for file in wheels if (name := WheelName.parse(file)) and not name.free_threaded]
    return min((name.glibc for name in names if name.machine == machine), key=Version, default=None)
