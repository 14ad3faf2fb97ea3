"""Compare the distributions of an environment with their RECORD files and with the lock."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from provision.binary import record
from provision.engine.integrity.installed import (
    belongs_to_environment,
    dist_infos,
    name_and_version,
)
from provision.engine.integrity.manifest import FileMark, is_unmodified, matches, read_mark
from provision.steps.model import Lock

# Files for one job of a thread: with one file each, the queue would cost more than the reading.
_BATCH = 64
# A file's path, its line in RECORD, and every (digest, size) that the file may have.
_Job = tuple[str, record.RecordEntry, tuple[tuple[str, str], ...]]
# Marks of the files that agree, or why one of them does not.
_Result = list[FileMark] | str


class DamagedDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution that differs from its RECORD or from the lock, and why."""

    name: str
    dist_info: str
    why: str


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an environment's distributions.

    `extra` names those that are not in the lock. `marks` is empty unless contents were read.
    """

    intact: dict[str, str]
    damaged: tuple[DamagedDistribution, ...]
    extra: tuple[str, ...]
    marks: tuple[FileMark, ...]


def survey(
    environment: Path,
    lock: Lock,
    *,
    contents: bool,
    step_files: frozenset[str] = frozenset(),
    true_digests: Mapping[str, str] | None = None,
    fresh_marks: Mapping[str, FileMark] | None = None,
) -> Survey:
    """Compare every installed distribution with its RECORD and the lock.

    Sizes are compared always, bytes only with `contents`. `step_files` names files that a step
    writes over those of a distribution; they are not compared. `true_digests` are those of files
    for which a wheel's own RECORD is wrong. Files whose `fresh_marks` are confirmed by `stat` are
    not read again.
    """
    comparison = _Comparison(
        environment, contents, step_files, true_digests or {}, fresh_marks or {}
    )
    locked: dict[str, str] = {canonicalize_name(pin.name): pin.version for pin in lock.pins}
    copies = {name: len(installed) for name, installed in installed_versions(environment).items()}
    torn, extra, whole, marks, pending = [], [], {}, [], []
    # Threads suffice: hashing and reading release the interpreter lock.
    with ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 1)) as pool:
        for dist_info in dist_infos(environment):
            name, version = name_and_version(dist_info.name)
            if name not in locked:
                extra.append(f"{name} {version}")
                continue
            problem = _version_problem(locked[name], version, copies[name])
            pending.append(
                (name, version, dist_info.name, problem or comparison.start(dist_info, pool))
            )
        # Collect only after all have started, so that one large file does not delay the others.
        for name, version, dist_info_name, batches in pending:
            result = batches if isinstance(batches, str) else _collect(batches)
            if isinstance(result, str):
                torn.append(DamagedDistribution(name=name, dist_info=dist_info_name, why=result))
            else:
                whole[name] = version
                marks += result
    return Survey(intact=whole, damaged=tuple(torn), extra=tuple(extra), marks=tuple(marks))


def installed_versions(environment: Path) -> dict[str, list[str]]:
    """Return the installed versions of every distribution by name.

    More than one version of a name means that a package was installed by hand beside another.
    """
    installed: dict[str, list[str]] = {}
    for dist_info in dist_infos(environment):
        name, version = name_and_version(dist_info.name)
        installed.setdefault(name, []).append(version)
    return installed


def _version_problem(locked: str, installed: str, copies: int) -> str:
    if not _is_same_version(locked, installed):
        return f"version {installed} is installed, {locked} is locked"
    return "installed more than once" if copies > 1 else ""


class _Comparison:
    """All RECORD files of an environment, each read once, and the comparison of files with them."""

    def __init__(
        self,
        environment: Path,
        contents: bool,
        written: frozenset[str],
        known: Mapping[str, str],
        already: Mapping[str, FileMark],
    ) -> None:
        self._root = f"{environment}/"
        self._contents, self._written, self._known, self._already = (
            contents,
            written,
            known,
            already,
        )
        self._records: dict[str, list[record.RecordEntry] | str] = {}
        self._shared: dict[str, tuple[tuple[str, str], ...]] = {}
        first: dict[str, record.RecordEntry] = {}
        for dist_info in dist_infos(environment):
            try:
                listed = record.read_entries(dist_info / "RECORD")
            except ValueError as error:
                self._records[dist_info.name] = str(error)
                continue
            self._records[dist_info.name] = listed
            for entry in listed:
                if (other := first.setdefault(entry.path, entry)) is not entry:
                    before = self._shared.get(entry.path, ((other.digest, other.size),))
                    self._shared[entry.path] = (*before, (entry.digest, entry.size))

    def start(self, dist_info: Path, pool: ThreadPoolExecutor) -> Iterator[_Result] | str:
        """Start comparing a distribution's files in threads; return a problem with its RECORD."""
        listed = self._records[dist_info.name]
        if isinstance(listed, str):
            return listed
        # Every installer lists these two: a RECORD without them was cut short.
        own = {f"{dist_info.name}/RECORD", f"{dist_info.name}/METADATA"}
        if not own <= {entry.path for entry in listed}:
            return f"{dist_info.name}/RECORD is incomplete"
        site = str(dist_info.parent)
        paths = ((os.path.normpath(f"{site}/{entry.path}"), entry) for entry in listed)
        jobs: list[_Job] = [
            (path, entry, self._allowed(entry))
            for path, entry in paths
            if path not in self._written
        ]
        for path, entry, _ in jobs:
            if not path.startswith(self._root):
                return f"RECORD lists {entry.path}, which is outside this environment"
            if belongs_to_environment(path.removeprefix(self._root)):
                return f"RECORD lists {entry.path}, which belongs to the environment itself"
        batches = [jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH)]
        return pool.map(self._compare, batches)

    def _allowed(self, entry: record.RecordEntry) -> tuple[tuple[str, str], ...]:
        if entry.path in self._known:
            return ((self._known[entry.path], ""),)
        # Of several distributions with the same file, any one may have been installed last.
        return self._shared.get(entry.path, ((entry.digest, entry.size),))

    def _compare(self, jobs: list[_Job]) -> _Result:
        marks = []
        for path, entry, allowed in jobs:
            try:
                status = os.lstat(path)
            except OSError as error:
                if not entry.digest and path.endswith(".pyc"):  # Python rewrites bytecode at will
                    continue
                return f"{entry.path}: {error.strerror}"
            digests = [digest for digest, size in allowed if size in ("", str(status.st_size))]
            if not digests:
                return f"{entry.path}: {status.st_size} bytes, {entry.size} in RECORD"
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                return f"{entry.path}: is not a file"
            if self._contents:
                # A file shared with a cache or another environment could change from there.
                if status.st_nlink > 1:
                    return f"{entry.path}: shared with another folder by a hard link"
                current = self._mark(path, status)
                if not any(matches(current, path, digest) for digest in digests):
                    return f"{entry.path}: the content differs from RECORD"
                marks.append(current)
        return marks

    def _mark(self, path: str, status: os.stat_result) -> FileMark:
        name = path.removeprefix(self._root)
        fresh = self._already.get(name)
        return fresh if fresh and is_unmodified(fresh, status) else read_mark(path, name, status)


def _collect(batches: Iterator[_Result]) -> _Result:
    marks: list[FileMark] = []
    for batch in batches:
        if isinstance(batch, str):
            return batch
        marks += batch
    return marks


def _is_same_version(locked: str, installed: str) -> bool:
    try:
        return locked == installed or Version(locked) == Version(installed)
    except InvalidVersion:
        return False
