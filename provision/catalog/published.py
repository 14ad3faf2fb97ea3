"""Published wheels on a simple index: which there are of a version, and the members one needs of them."""

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
from provision.doors import network, sessions
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from email.message import Message

    import pypi_simple

_PLATFORM = re.compile(r"manylinux(?:_(\d+)_(\d+)|(1|2010|2014))_(x86_64|aarch64)")
_OLD_TAGS = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError, ValueError)


class WheelName(msgspec.Struct, frozen=True, kw_only=True):
    """What the file name of a Linux wheel says."""

    machine: Machine
    glibc: str
    cpython: str
    build: int

    @property
    def free_threaded(self) -> bool:
        """A build for the interpreter without a global lock (cp314t), which vLLM does not run on."""
        return self.cpython.endswith("t")

    @classmethod
    def parse(cls, filename: str) -> WheelName | None:
        """None for everything but a manylinux wheel of a machine that we know."""
        try:
            _, _, build, tags = parse_wheel_filename(filename)
        except (InvalidWheelFilename, ValueError):
            return None
        glibcs, machine, cpython = [], "", ""
        for tag in tags:
            if found := _PLATFORM.fullmatch(tag.platform):
                major, minor, old, machine = found.groups()
                glibcs.append(_OLD_TAGS[old] if old else (int(major), int(minor)))
                # Only the ABI tag tells a free-threaded build apart.
                cpython = tag.interpreter if tag.abi in (tag.interpreter, "abi3") else tag.abi
        if not glibcs:
            return None
        lowest = min(glibcs)
        return cls(
            machine=cast("Machine", machine),
            glibc=f"{lowest[0]}.{lowest[1]}",
            cpython=cpython,
            build=build[0] if build else 0,
        )


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel of an index page."""

    name: WheelName
    file: str
    url: str
    uploaded: str | None
    yanked: bool


def wheels(index: str, project: str, version: str) -> list[Published]:
    """The Linux wheels of a version, as the index lists them; SourceFailed where it has none."""
    page = network.project(index, project)
    found = [
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
    if not found:
        raise SourceFailed(
            f"no Linux wheel of {project} {version} on this index",
            where=sessions.scrubbed(index),
            hint=f"the last ones that it lists: {', '.join(_last_versions(page)) or 'none'}",
        )
    return found


def newest_uploads(found: Iterable[Published]) -> list[Published]:
    """One wheel a machine, x86_64 first: the highest build number replaces what was uploaded before it."""
    newest: dict[str, Published] = {}
    for wheel in sorted(found, key=lambda wheel: wheel.name.build):
        newest[wheel.name.machine] = wheel
    return [newest[machine] for machine in sorted(newest, reverse=True)]


class OpenWheel:
    """A published wheel whose directory was fetched; members are fetched when they are read."""

    def __init__(self, published: Published, archive: zipfile.ZipFile, size: int) -> None:
        self.published = published
        self.size_mb = round(size / 1e6, 1)
        self._archive = archive
        self.members = archive.namelist()

    @property
    def built(self) -> str:
        """The day that most members carry: a release is uploaded that day or a little later."""
        days = Counter(info.date_time[:3] for info in self._archive.infolist())
        return "{:04}-{:02}-{:02}".format(*max(days, key=lambda each: (days[each], each)))

    def read(self, member: str) -> bytes:
        """One member, its checksum verified."""
        return self._archive.read(member)

    def shared_object(self, member: str) -> SharedObject:
        """A compiled member; refused where it is for another machine than the wheel's name says."""
        compiled = SharedObject(self.read(member), member)
        if compiled.machine != self.published.name.machine:
            raise ValueError(f"{member} is for {compiled.machine}: the wheel's name lies")
        return compiled

    def metadata(self) -> Message:
        """METADATA, its header fields."""
        (member,) = (name for name in self.members if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return HeaderParser().parsestr(self.read(member).decode())


@contextmanager
def opened(published: Published) -> Iterator[OpenWheel]:
    """A published wheel to read from; damage in it is a failure of the source that names the file."""
    try:
        with network.remote_file(published.url) as remote, zipfile.ZipFile(remote) as archive:
            yield OpenWheel(published, archive, remote.size)
    except _DAMAGE as error:
        raise SourceFailed(
            f"not a wheel that can be read: {str(error) or type(error).__name__}",
            where=published.file,
            hint="a mirror may hold a damaged copy: try another index",
        ) from error


def requirements(metadata: Message) -> dict[str, list[Requirement]]:
    """What a distribution needs without extras, by lower-case name."""
    found: dict[str, list[Requirement]] = {}
    for line in metadata.get_all("Requires-Dist", []):
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise ValueError(f"METADATA: {error}") from error
        if "extra" not in str(requirement.marker or ""):
            found.setdefault(requirement.name.lower(), []).append(requirement)
    return found


def release_day(found: list[Published]) -> str:
    """The day of the first upload (those that replace others come later); without dates, its build."""
    dates = [wheel.uploaded for wheel in found if wheel.uploaded]
    if dates:
        return min(dates)
    with opened(min(found, key=lambda wheel: wheel.name.build)) as first:
        return first.built


def pinned(needed: list[Requirement]) -> str | None:
    """The version that the first requirement pins, without its local part; None where there is no pin."""
    for requirement in needed:
        for specifier in requirement.specifier:
            if specifier.operator in ("==", "~="):
                return specifier.version.partition("+")[0]
    return None


def _last_versions(page: pypi_simple.ProjectPage) -> list[str]:
    listed = {package.version for package in page.packages if package.version}
    return sorted(listed, key=_as_a_version)[-3:]


def _as_a_version(text: str) -> tuple[bool, Version]:
    """For sorting: what is no version comes first."""
    try:
        return True, Version(text)
    except InvalidVersion:
        return False, Version("0")
