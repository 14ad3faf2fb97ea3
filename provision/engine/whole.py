"""An environment against its RECORD files and the lock: what is torn, what was replaced, what nobody asked for."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from provision.binary import record
from provision.engine.marks import Mark, mark, matches
from provision.steps import Lock

_BATCH = 64


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


def survey(generation: Path, lock: Lock, *, contents: bool, written: frozenset[str] = frozenset()) -> Survey:
    """Look at every installed distribution: sizes, or with `contents` every byte, in threads.

    `written` names files that a step writes over what a distribution brought; the step answers for them.
    """
    site = site_packages(generation)
    wanted: dict[str, str] = {canonicalize_name(pin.name): pin.version for pin in lock.pins}
    times = {name: len(there) for name, there in versions(generation).items()}
    torn, extra, whole, marks = [], [], {}, []
    with ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 1)) as pool:
        for dist_info in sorted(site.glob("*.dist-info")) if site else []:
            name, version = distribution(dist_info.name)
            if name not in wanted:
                extra.append(f"{name} {version}")
                continue
            looked = _misplaced(wanted[name], version, times[name]) or _look(
                dist_info, generation, pool, contents, written
            )
            if isinstance(looked, _Changed):
                torn.append(Torn(name=name, dist_info=dist_info.name, why=looked.why, contents=looked.contents))
            else:
                whole[name] = version
                marks += looked
    return Survey(whole=whole, torn=tuple(torn), extra=tuple(extra), marks=tuple(marks))


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


def _look(
    dist_info: Path, generation: Path, pool: ThreadPoolExecutor, contents: bool, written: frozenset[str]
) -> list[Mark] | _Changed:
    site, root = str(dist_info.parent), f"{generation}/"
    try:
        listed = record.entries(dist_info / "RECORD")
    except ValueError as error:
        return _Changed(str(error), contents=False)
    if not {f"{dist_info.name}/RECORD", f"{dist_info.name}/METADATA"} <= {entry.path for entry in listed}:
        return _Changed(f"{dist_info.name}/RECORD is not whole", contents=False)
    jobs = []
    for entry in listed:
        path = os.path.normpath(f"{site}/{entry.path}")
        if not path.startswith(root):
            return _Changed(f"RECORD lists {entry.path}, which is not in this environment", contents=False)
        if path not in written:
            jobs.append((path, entry))
    marks: list[Mark] = []
    for batch in pool.map(lambda part: _compare(part, len(root), contents), _batches(jobs)):
        if isinstance(batch, _Changed):
            return batch
        marks += batch
    return marks


def _batches(jobs: list[tuple[str, record.Entry]]) -> list[list[tuple[str, record.Entry]]]:
    return [jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH)]


def _compare(jobs: list[tuple[str, record.Entry]], cut: int, contents: bool) -> list[Mark] | _Changed:
    marks = []
    for path, entry in jobs:
        try:
            status = os.lstat(path)
        except OSError as error:
            if not entry.digest and path.endswith(".pyc"):  # bytecode comes and goes
                continue
            return _Changed(f"{entry.path}: {error.strerror}", contents=False)
        if entry.size and entry.size != str(status.st_size):
            return _Changed(f"{entry.path}: {status.st_size} bytes, {entry.size} in RECORD", contents=True)
        if contents:
            if status.st_nlink > 1:
                return _Changed(f"{entry.path}: shared with another place by a hard link", contents=True)
            found = mark(path, path[cut:], status)
            if not matches(found, path, entry.digest):
                return _Changed(f"{entry.path}: the contents are not those in RECORD", contents=True)
            marks.append(found)
    return marks


def _same(one: str, other: str) -> bool:
    try:
        return one == other or Version(one) == Version(other)
    except InvalidVersion:
        return False
