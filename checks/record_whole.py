"""Checks that installed files are as their RECORD says, and that no foreign code runs at start."""

from __future__ import annotations

import base64
import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import _installed
from ._contract import Check, Context, Verdict

_SHOWN = 20
# By path: the distribution, hash and size of each RECORD that lists it.
_Claims = dict[Path, list[tuple[str, str, str]]]


def body(context: Context) -> Verdict:
    claims, wrong, count = _read_records(context.contents)
    # Hashing releases the interpreter's lock; beyond 8 threads the disk is the limit.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        wrong += filter(None, pool.map(_difference, claims.items()))
    wrong += _foreign_hooks(claims)
    evidence = {
        "distributions": count,
        "files": len(claims),
        "differences": len(wrong),
        "wrong": sorted(wrong)[:_SHOWN],
        "claimed_by_several": sorted(
            str(path)
            for path, owners in claims.items()
            if len({digest for _, digest, _ in owners}) > 1
        )[:_SHOWN],
        "record_known_to_be_wrong": sorted(context.contents)[:_SHOWN],
    }
    if not count:
        return Verdict(passed=False, summary="no distribution is installed", evidence=evidence)
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Verdict(
            passed=False,
            summary=f"{min(wrong)}{more}",
            evidence=evidence,
            hint="./setup.sh provision restores damaged files, and names those it may not remove",
        )
    return Verdict(
        passed=True,
        summary=f"{len(claims)} files of {count} distributions are as recorded",
        evidence=evidence,
    )


def _read_records(contents: dict[str, str]) -> tuple[_Claims, list[str], int]:
    """Return the claims of every RECORD, the problems, and the number of distributions."""
    claims: _Claims = {}
    wrong: list[str] = []
    folders = list(_installed.dist_infos())
    for folder in folders:
        try:
            with (folder / "RECORD").open(encoding="utf-8", newline="") as lines:
                rows = list(csv.reader(lines, strict=True))
        except (OSError, ValueError, csv.Error) as error:
            wrong.append(f"{folder.name}/RECORD cannot be read: {error}")
            continue
        for row in rows:
            if len(row) != 3:
                wrong.append(f"{folder.name}/RECORD has an invalid line: {row}")
            elif row[1] or not row[0].endswith(".pyc"):  # interpreters rewrite bytecode
                true_digest = contents.get(row[0])
                digest, size = (true_digest, "") if true_digest else (row[1], row[2])
                claims.setdefault(Path(os.path.normpath(folder.parent / row[0])), []).append(
                    (folder.name, digest, size)
                )
    return claims, wrong, len(folders)


def _foreign_hooks(claims: _Claims) -> list[str]:
    """Return files that run at every start of this Python, and that no distribution brought."""
    # They run before every check, too, and can change what it sees.
    listed = {
        path.relative_to(folder).parts[0]
        for folder in _installed.folders()
        for path in claims
        if folder in path.parents
    }
    return [
        f"{path.name} runs whenever this Python starts, and no RECORD lists it: {path}"
        for folder in _installed.folders()
        for path in folder.iterdir()
        if path.name.endswith(".pth")
        or path.name.partition(".")[0] in ("sitecustomize", "usercustomize")
        if path.name not in listed
    ]


def _difference(claim: tuple[Path, list[tuple[str, str, str]]]) -> str:
    """Return how a file differs from its RECORD, or ""."""
    path, owners = claim
    text = ""
    for name, digest, size in owners:
        difference = _compare(path, digest, size)
        # Of two distributions with the same file the last one wrote it, so one match is enough.
        if not difference:
            return ""
        text = f"{path.name} of {name.removesuffix('.dist-info')} {difference}: {path}"
    return text


def _compare(path: Path, digest: str, size: str) -> str:
    try:
        actual = path.stat().st_size
        if size and size != str(actual):
            return f"has {actual} bytes, not {size}"
        algorithm, _, expected = digest.partition("=")
        if not expected:
            return ""
        actual_digest = _installed.digest(path, algorithm)
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"
    encoded = base64.urlsafe_b64encode(actual_digest).rstrip(b"=").decode()
    return "" if encoded == expected else "was changed"


CHECK = Check(
    title="Files as recorded",
    proves="every file of every distribution is as its RECORD states, "
    "and no foreign code runs at start-up",
    step=90,
    deadline_s=900,
    body=body,
)
