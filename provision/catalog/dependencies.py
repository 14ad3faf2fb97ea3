"""What the wheels of a release's dependencies ask of glibc, beyond what its own wheel asks."""

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

_AT_ONCE = 8
# The Python that markers are read for: every release of these years supports it.
_PYTHON = {"python_version": "3.12", "python_full_version": "3.12.0", "implementation_name": "cpython"}


def glibc_floor(needed: dict[str, list[Requirement]], machine: Machine, index: str) -> tuple[str, str] | None:
    """The highest glibc that a dependency cannot do without, and that dependency's name."""
    environment = {"platform_machine": machine, "platform_system": "Linux", "sys_platform": "linux", **_PYTHON}
    asked = [
        requirement
        for each in needed.values()
        for requirement in each
        if requirement.specifier and (not requirement.marker or requirement.marker.evaluate(environment))
    ]
    jobs = {number: partial(_lowest_glibc, each, machine, index) for number, each in enumerate(asked)}
    lowest = at_once.run_all(jobs, limit=_AT_ONCE)
    floors = [(glibc, asked[number].name) for number, glibc in lowest.items() if glibc]
    return max(floors, key=lambda floor: Version(floor[0]), default=None)


def _lowest_glibc(requirement: Requirement, machine: Machine, index: str) -> str | None:
    """The oldest glibc that any wanted wheel runs on; None where one runs anywhere, or none is known."""
    try:
        page = network.project(index, requirement.name)
    except SourceFailed:
        # A mirror may lack a dependency; that is for the resolver to say.
        return None
    wanted = [
        package.filename
        for package in page.packages
        if package.package_type == "wheel" and package.version and requirement.specifier.contains(package.version)
    ]
    if any(file.endswith("-any.whl") for file in wanted):
        return None
    names = [name for file in wanted if (name := WheelName.parse(file)) and not name.free_threaded]
    return min((name.glibc for name in names if name.machine == machine), key=Version, default=None)
