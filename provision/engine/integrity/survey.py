"""An environment against its RECORD files and the lock: what is torn, what was replaced, what nobody asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from provision.binary import record
from provision.doors import files
from provision.engine.integrity.manifest import Mark, is_still, mark, matches
from provision.steps.model import Lock

CONTENTS = "contents.json"
_BATCH = 64
# A file, and every (digest, size) that it may have: two distributions may bring it, and the last one wrote it.
_Job = tuple[str, record.Entry, tuple[tuple[str, str], ...]]


class Torn(msgspec.Struct, frozen=True, kw_only=True):
    """An installed distribution that is not what it says. `contents`: a file is there and is another one."""

    name: str
    dist_info: str
    why: str
    contents: bool = False


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What an environment holds; `marks` only where contents were read."""

    whole: dict[str, str]
    torn: tuple[Torn, ...]
    extra: tuple[str, ...]
    marks: tuple[Mark, ...]


def site_packages(generation: Path) -> Path | None:
    return next(iter(sorted(generation.glob("lib/python*/site-packages"))), None)


def survey(
    generation: Path,
    lock: Lock,
    *,
    contents: bool,
    written: frozenset[str] = frozenset(),
    known: Mapping[str, str] | None = None,
    already: Mapping[str, Mark] | None = None,
) -> Survey:
    """Look at every installed distribution: sizes, or with `contents` every byte, in threads.

    `written` names files that a step writes over what a distribution brought; the step answers for them.
    `known` holds the true digests of files for which a wheel's own RECORD is wrong, `already` what was just read.
    """
    site = site_packages(generation)
    claims = _Claims(site, written, known or {})
    already = already or {}
    wanted: dict[str, str] = {canonicalize_name(pin.name): pin.version for pin in lock.pins}
    times = {name: len(there) for name, there in versions(generation).items()}
    torn, extra, whole, marks, looking = [], [], {}, [], []
    with ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 1)) as pool:
        for dist_info in sorted(site.glob("*.dist-info")) if site else []:
            name, version = distribution(dist_info.name)
            if name not in wanted:
                extra.append(f"{name} {version}")
                continue
            begun = _misplaced(wanted[name], version, times[name]) or _look(
                dist_info, generation, pool, contents, claims, already
            )
            looking.append((name, version, dist_info.name, begun))
        for name, version, dist_info_name, begun in looking:  # all have begun: one large file keeps nobody waiting
            looked = begun if isinstance(begun, _Changed) else _together(begun)
            if isinstance(looked, _Changed):
                torn.append(Torn(name=name, dist_info=dist_info_name, why=looked.why, contents=looked.contents))
            else:
                whole[name] = version
                marks += looked
    return Survey(whole=whole, torn=tuple(torn), extra=tuple(extra), marks=tuple(marks))


def unlike_record(generation: Path, dist_info: str) -> dict[str, str]:
    """The files of a distribution that are not as its RECORD says, each with the digest that it has."""
    site = site_packages(generation)
    if site is None:
        return {}
    try:
        different = record.differences(site, dist_info)
    except ValueError:
        return {}
    there = ((found.path, site / found.path) for found in different if found.what != "missing")
    return {name: mark(str(path), name, os.lstat(path)).digest for name, path in there}


def known_contents(state: Path) -> dict[str, str]:
    """What an environment has learned of wheels whose own RECORD is wrong."""
    try:
        return msgspec.json.decode((state / CONTENTS).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def learn_contents(state: Path, known: Mapping[str, str]) -> None:
    files.write(state / CONTENTS, msgspec.json.encode(known))


def versions(generation: Path) -> dict[str, list[str]]:
    """Every distribution that calls itself installed, by name; more than one version where somebody's hand slipped."""
    found: dict[str, list[str]] = {}
    site = site_packages(generation)
    for dist_info in sorted(site.glob("*.dist-info")) if site else []:
        name, version = distribution(dist_info.name)
        found.setdefault(name, []).append(version)
    return found


def distribution(dist_info: str) -> tuple[str, str]:
    """The name and the version that a .dist-info folder is named after."""
    name, _, version = dist_info.removesuffix(".dist-info").partition("-")
    return canonicalize_name(name), version


class _Changed(msgspec.Struct, frozen=True):
    why: str
    contents: bool


def _misplaced(wanted: str, version: str, times: int) -> _Changed | None:
    if not _same(wanted, version):
        return _Changed(f"version {version} is installed, {wanted} is locked", contents=False)
    return _Changed("installed more than once", contents=False) if times > 1 else None


class _Claims:
    """Every RECORD of an environment, read once, and what each of them says of a file."""

    def __init__(self, site: Path | None, written: frozenset[str], known: Mapping[str, str]) -> None:
        self._written, self._known = written, known
        self._listed: dict[str, list[record.Entry] | str] = {}
        self._several: dict[str, tuple[tuple[str, str], ...]] = {}
        first: dict[str, record.Entry] = {}
        for dist_info in sorted(site.glob("*.dist-info")) if site else []:
            try:
                listed = record.entries(dist_info / "RECORD")
            except ValueError as error:
                self._listed[dist_info.name] = str(error)
                continue
            self._listed[dist_info.name] = listed
            for entry in listed:
                if (other := first.setdefault(entry.path, entry)) is not entry:
                    before = self._several.get(entry.path, ((other.digest, other.size),))
                    self._several[entry.path] = (*before, (entry.digest, entry.size))

    def entries(self, dist_info: str) -> list[record.Entry] | str:
        """The lines of one RECORD, or why it cannot be read."""
        return self._listed[dist_info]

    def jobs(self, site: str, listed: list[record.Entry]) -> list[_Job]:
        each = ((os.path.normpath(f"{site}/{entry.path}"), entry) for entry in listed)
        return [(path, entry, self._may_be(entry)) for path, entry in each if path not in self._written]

    def _may_be(self, entry: record.Entry) -> tuple[tuple[str, str], ...]:
        if entry.path in self._known:
            return ((self._known[entry.path], ""),)
        return self._several.get(entry.path, ((entry.digest, entry.size),))


def _look(
    dist_info: Path,
    generation: Path,
    pool: ThreadPoolExecutor,
    contents: bool,
    claims: _Claims,
    already: Mapping[str, Mark],
) -> Iterator[list[Mark] | _Changed] | _Changed:
    root = f"{generation}/"
    listed = claims.entries(dist_info.name)
    if isinstance(listed, str):
        return _Changed(listed, contents=False)
    if not {f"{dist_info.name}/RECORD", f"{dist_info.name}/METADATA"} <= {entry.path for entry in listed}:
        return _Changed(f"{dist_info.name}/RECORD is not whole", contents=False)
    jobs = claims.jobs(str(dist_info.parent), listed)
    for path, entry, _ in jobs:
        if not path.startswith(root):
            return _Changed(f"RECORD lists {entry.path}, which is not in this environment", contents=False)
    return pool.map(lambda part: _compare(part, len(root), contents, already), _batches(jobs))


def _together(batches: Iterator[list[Mark] | _Changed]) -> list[Mark] | _Changed:
    marks: list[Mark] = []
    for batch in batches:
        if isinstance(batch, _Changed):
            return batch
        marks += batch
    return marks


def _batches(jobs: list[_Job]) -> list[list[_Job]]:
    return [jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH)]


def _compare(jobs: list[_Job], cut: int, contents: bool, already: Mapping[str, Mark]) -> list[Mark] | _Changed:
    marks = []
    for path, entry, may_be in jobs:
        try:
            status = os.lstat(path)
        except OSError as error:
            if not entry.digest and path.endswith(".pyc"):  # bytecode comes and goes
                continue
            return _Changed(f"{entry.path}: {error.strerror}", contents=False)
        digests = [digest for digest, size in may_be if size in ("", str(status.st_size))]
        if not digests:
            return _Changed(f"{entry.path}: {status.st_size} bytes, {entry.size} in RECORD", contents=True)
        if contents:
            if status.st_nlink > 1:
                return _Changed(f"{entry.path}: shared with another place by a hard link", contents=True)
            found = already.get(path[cut:])
            if not found or not is_still(found, status):
                found = mark(path, path[cut:], status)
            if not any(matches(found, path, digest) for digest in digests):
                return _Changed(f"{entry.path}: the contents are not those in RECORD", contents=True)
            marks.append(found)
    return marks


def _same(one: str, other: str) -> bool:
    try:
        return one == other or Version(one) == Version(other)
    except InvalidVersion:
        return False
