"""Whether every file of every installed distribution is as its RECORD says, and nothing else runs at every start."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import _installed
from ._contract import Check, Context, Verdict

_SHOWN = 20
# path -> every (distribution, hash, size) that claims it
Claims = dict[Path, list[tuple[str, str, str]]]


def body(context: Context) -> Verdict:
    claims, wrong, count = _claims(context.contents)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter
        wrong += [found for found in pool.map(_difference, claims.items()) if found]
    wrong += _foreign_hooks(claims)
    shared = sorted(str(path) for path, owners in claims.items() if len({digest for _, digest, _ in owners}) > 1)
    evidence = {
        "distributions": count,
        "files": len(claims),
        "differences": len(wrong),
        "wrong": sorted(wrong)[:_SHOWN],
        "claimed_by_several": shared[:_SHOWN],
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
            hint="run vllm-ready provision: it puts back what is damaged, and names what it may not take out",
        )
    return Verdict(
        passed=True, summary=f"{len(claims)} files of {count} distributions are as recorded", evidence=evidence
    )


def _claims(contents: dict[str, str]) -> tuple[Claims, list[str], int]:
    claims: Claims = {}
    wrong: list[str] = []
    count = 0
    for folder in _installed.dist_infos():
        count += 1
        try:
            with (folder / "RECORD").open(encoding="utf-8", newline="") as lines:
                rows = list(csv.reader(lines, strict=True))
        except (OSError, ValueError, csv.Error) as error:
            wrong.append(f"{folder.name}/RECORD cannot be read: {error}")
            continue
        for row in rows:
            if len(row) != 3:
                wrong.append(f"{folder.name}/RECORD has a line that is none: {row}")
            elif row[1] or not row[0].endswith(".pyc"):  # interpreters write bytecode anew
                known = contents.get(row[0])
                claim = (folder.name, known, "") if known else (folder.name, row[1], row[2])
                claims.setdefault(Path(os.path.normpath(folder.parent / row[0])), []).append(claim)
    return claims, wrong, count


def _foreign_hooks(claims: Claims) -> list[str]:
    """What runs at every start of this Python, and so before every check, although no distribution brought it."""
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
        if path.name.endswith(".pth") or path.name.partition(".")[0] in ("sitecustomize", "usercustomize")
        if path.name not in listed
    ]


def _difference(claim: tuple[Path, list[tuple[str, str, str]]]) -> str:
    """A file that two distributions bring is whole if it is as one of them says: the last one wrote it."""
    path, owners = claim
    found = ""
    for name, digest, size in owners:
        found = _as_recorded(path, digest, size)
        if not found:
            return ""
        found = f"{path.name} of {name.removesuffix('.dist-info')} {found}: {path}"
    return found


def _as_recorded(path: Path, digest: str, size: str) -> str:
    try:
        actual = path.stat().st_size
        if size and size != str(actual):
            return f"has {actual} bytes, not {size}"
        algorithm, _, expected = digest.partition("=")
        if not expected:
            return ""
        with path.open("rb") as stream:
            summed = hashlib.new(algorithm)
            while chunk := stream.read(1 << 20):
                summed.update(chunk)
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"
    return "" if base64.urlsafe_b64encode(summed.digest()).rstrip(b"=").decode() == expected else "was changed"


CHECK = Check(
    name="record_whole",
    title="Files as recorded",
    proves="every file of every installed distribution is as its RECORD states, and nothing foreign runs at start-up",
    step=90,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=900,
    body=body,
)
