"""Find damaged distributions and remove them.

An installer trusts any distribution that it finds installed. A damaged one is therefore removed
completely, so that the installer installs it again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from provision.binary import record
from provision.doors import files
from provision.engine.integrity.installed import (
    belongs_to_environment,
    dist_infos,
    name_and_version,
    site_packages,
    top_level_names,
)
from provision.engine.integrity.survey import DamagedDistribution, Survey, survey
from provision.steps.model import Lock


def find_damage(
    environment: Path,
    lock: Lock,
    *,
    contents: bool,
    step_files: frozenset[str],
    changed: Iterable[str] = (),
    unfinished: AbstractSet[str] = frozenset(),
    true_digests: Mapping[str, str] | None = None,
) -> Survey:
    """Survey an environment, and also find distributions whose RECORD itself is damaged.

    `changed` names the files that differ from the manifest; a changed RECORD cannot vouch for its
    distribution. `unfinished` names the distributions of steps that did not end; an unlisted file
    beside theirs means that RECORD was cut short.
    """
    result = survey(
        environment, lock, contents=contents, step_files=step_files, true_digests=true_digests
    )
    torn = {distribution.dist_info: distribution for distribution in result.damaged}
    for path in changed:
        dist_info = next((part for part in Path(path).parts if part.endswith(".dist-info")), "")
        if dist_info:
            torn.setdefault(dist_info, _torn(dist_info, f"{path} has changed"))
    if unfinished & result.intact.keys():
        for distribution in _cut_short(environment):
            if distribution.name in unfinished:
                torn.setdefault(distribution.dist_info, distribution)
    # A name is intact only if every installed copy of it is.
    names = {distribution.name for distribution in torn.values()}
    return msgspec.structs.replace(
        result,
        damaged=tuple(torn.values()),
        intact={name: version for name, version in result.intact.items() if name not in names},
    )


def _torn(dist_info: str, why: str) -> DamagedDistribution:
    return DamagedDistribution(name=name_and_version(dist_info)[0], dist_info=dist_info, why=why)


def _cut_short(environment: Path) -> list[DamagedDistribution]:
    site = site_packages(environment)
    try:
        strays = {path.partition("/")[0] for path in record.unlisted_files(site)} if site else set()
    except ValueError:  # that RECORD is reported by the survey; the next pass sees the others
        strays = set()
    return [
        _torn(
            dist_info.name,
            f"RECORD is cut short: it does not list all of {', '.join(sorted(beside))}",
        )
        for dist_info in dist_infos(environment)
        if (beside := strays & top_level_names(dist_info))
    ]


def remove_distribution(environment: Path, distribution: DamagedDistribution) -> None:
    """Remove a distribution: the files in its RECORD, their bytecode, and last its .dist-info.

    A removal that is killed halfway leaves the distribution named and damaged, so that the next
    run finds it again. Files that no readable RECORD lists stay; installing overwrites them.
    """
    site = site_packages(environment)
    if site is None:
        return
    dist_info = site / distribution.dist_info
    try:
        listed = record.read_entries(dist_info / "RECORD")
    except ValueError:
        listed = []
    root = os.path.realpath(environment) + "/"
    folders = set()
    for entry in listed:
        path = site / entry.path
        # A damaged or foreign RECORD may list files elsewhere, also through a link: keep those.
        inside = f"{os.path.realpath(path.parent)}/".startswith(root)
        if not inside or Path(os.path.normpath(path)).parent == dist_info:
            continue
        if belongs_to_environment(os.path.normpath(path).removeprefix(f"{environment}/")):
            continue
        with contextlib.suppress(OSError):
            files.remove_own(path)
        if path.suffix == ".py":  # its bytecode is not always listed
            _remove_bytecode(path)
            folders.add(path.parent / "__pycache__")
        folders.add(path.parent)
    # The deepest first, so that their parents become empty.
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # not empty: it holds files of others
            folder.rmdir()
    shutil.rmtree(dist_info, ignore_errors=True)


def _remove_bytecode(path: Path) -> None:
    """Remove what Pythons have compiled of a file; its name is no pattern, whatever it holds."""
    with contextlib.suppress(OSError):
        for bytecode in os.scandir(path.parent / "__pycache__"):
            if bytecode.name.startswith(f"{path.stem}.") and bytecode.name.endswith(".pyc"):
                os.unlink(bytecode.path)
