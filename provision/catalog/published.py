"""Published wheels on a simple index: the wheels of a version, and single members of them."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager
from email.parser import HeaderParser
from typing import TYPE_CHECKING, cast

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from provision.binary.elf import SharedObject
from provision.catalog.rows import Machine
from provision.doors import addresses, network
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from email.message import Message

    import pypi_simple

_PLATFORM = re.compile(r"manylinux(?:_(\d+)_(\d+)|(1|2010|2014))_(x86_64|aarch64)")
# The legacy names of manylinux tags (PEP 600).
_OLD_TAGS = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}
# Everything that zipfile raises for damaged archives.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError, ValueError)


class WheelName(msgspec.Struct, frozen=True, kw_only=True):
    """The fields in the file name of a Linux wheel."""

    machine: Machine
    glibc: str
    cpython: str
    build: int

    @property
    def free_threaded(self) -> bool:
        """Return whether the wheel is for a free-threaded Python, which vLLM does not support."""
        return self.cpython.endswith("t")

    @classmethod
    def parse(cls, filename: str) -> WheelName | None:
        """Return the parsed name; None if this is not a manylinux wheel of a known machine."""
        try:
            _, _, build, tags = parse_wheel_filename(filename)
        except (InvalidWheelFilename, ValueError):
            return None
        glibcs, machine, cpython = [], "", ""
        for tag in tags:
            if match := _PLATFORM.fullmatch(tag.platform):
                major, minor, old, machine = match.groups()
                glibcs.append(_OLD_TAGS[old] if old else (int(major), int(minor)))
                # Only the ABI tag identifies a free-threaded build.
                cpython = tag.interpreter if tag.abi in (tag.interpreter, "abi3") else tag.abi
        if not glibcs:
            return None
        # A name may have several tags: the wheel runs on the lowest.
        lowest = min(glibcs)
        return cls(
            machine=cast("Machine", machine),
            glibc=f"{lowest[0]}.{lowest[1]}",
            cpython=cpython,
            build=build[0] if build else 0,
        )


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel on an index page."""

    name: WheelName
    file: str
    url: str
    uploaded: str | None
    yanked: bool


def wheels(index: str, project: str, version: str) -> list[Published]:
    """Return the Linux wheels of a version; raise SourceFailed if the index has none."""
    page = network.project(index, project)
    listed = [
        Published(
            name=name,
            file=package.filename,
            url=package.url,
            uploaded=package.upload_time.date().isoformat() if package.upload_time else None,
            yanked=package.is_yanked,
        )
        for package in page.packages
        if package.version == version and (name := WheelName.parse(package.filename))
    ]
    if not listed:
        raise SourceFailed(
            f"no Linux wheel of {project} {version} on this index",
            where=addresses.scrubbed(index),
            hint=f"the newest versions on it: {', '.join(_last_versions(page)) or 'none'}",
        )
    return listed


def newest_uploads(listed: Iterable[Published]) -> list[Published]:
    """Return the wheel with the highest build number for each machine, x86_64 first."""
    # A later wheel replaces an earlier one of the same machine.
    newest: dict[str, Published] = {
        wheel.name.machine: wheel for wheel in sorted(listed, key=lambda wheel: wheel.name.build)
    }
    return [newest[machine] for machine in sorted(newest, reverse=True)]


class OpenWheel:
    """A published wheel whose directory is loaded; a member is downloaded when it is read."""

    def __init__(self, published: Published, archive: zipfile.ZipFile, size: int) -> None:
        self.published = published
        self.size_mb = round(size / 1e6, 1)
        self._archive = archive
        self.members = archive.namelist()

    @property
    def built(self) -> str:
        """Return the day of most members: a release is uploaded on that day or a little later."""
        days = Counter(info.date_time[:3] for info in self._archive.infolist())
        return "{:04}-{:02}-{:02}".format(*max(days, key=lambda day: (days[day], day)))

    def read(self, member: str) -> bytes:
        """Return a member, with its checksum verified."""
        return self._archive.read(member)

    def shared_object(self, member: str) -> SharedObject:
        """Return a compiled member; raise ValueError if the wheel's name states another machine."""
        compiled = SharedObject(self.read(member), member)
        if compiled.machine != self.published.name.machine:
            raise ValueError(f"{member} is for {compiled.machine}, unlike the name of the wheel")
        return compiled

    def metadata(self) -> Message:
        # A vendored package may have a dist-info folder deeper in the wheel.
        (member,) = (
            name for name in self.members if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
        )
        return HeaderParser().parsestr(self.read(member).decode())


@contextmanager
def open_wheel(published: Published) -> Iterator[OpenWheel]:
    """Open a published wheel; raise SourceFailed with the name of the file if it is damaged."""
    try:
        with network.remote_file(published.url) as remote, zipfile.ZipFile(remote) as archive:
            yield OpenWheel(published, archive, remote.size)
    except _DAMAGE as error:
        raise SourceFailed(
            f"the wheel cannot be read: {str(error) or type(error).__name__}",
            where=published.file,
            hint="a mirror may hold a damaged copy: try another index",
        ) from error


def requirements(metadata: Message) -> dict[str, list[Requirement]]:
    """Return the requirements of a distribution without extras, by lower-case name."""
    needed: dict[str, list[Requirement]] = {}
    for line in metadata.get_all("Requires-Dist", []):
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise ValueError(f"METADATA: {error}") from error
        # Extras are not installed with vLLM.
        if "extra" not in str(requirement.marker or ""):
            needed.setdefault(requirement.name.lower(), []).append(requirement)
    return needed


def release_day(listed: list[Published]) -> str:
    """Return the day of the first upload, or of its build where the index has no dates."""
    dates = [wheel.uploaded for wheel in listed if wheel.uploaded]
    if dates:
        return min(dates)
    with open_wheel(min(listed, key=lambda wheel: wheel.name.build)) as first:
        return first.built


def pinned_version(needed: list[Requirement]) -> str | None:
    """Return the version that the first requirement pins, without its local part, or None."""
    pins = (
        specifier.version.partition("+")[0]
        for requirement in needed
        for specifier in requirement.specifier
        if specifier.operator in ("==", "~=")
    )
    return next(pins, None)


def _last_versions(page: pypi_simple.ProjectPage) -> list[str]:
    listed = {package.version for package in page.packages if package.version}
    return sorted(listed, key=_order)[-3:]


def _order(text: str) -> tuple[bool, Version]:
    """Return a key for sorting: invalid versions come first."""
    try:
        return True, Version(text)
    except InvalidVersion:
        return False, Version("0")
