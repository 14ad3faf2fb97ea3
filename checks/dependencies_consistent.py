"""Checks that the requirements of all installed distributions are met in this interpreter."""

from __future__ import annotations

import importlib
import re
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from . import _installed
from ._contract import Check, Context, Needs, Verdict
from ._host import first_of

# The distribution that requires something, and the requirement as packaging has parsed it.
_Requirement = tuple[str, Any]
_HINT = (
    "./setup.sh provision installs what was locked again; "
    "packages that you add belong in extra_packages"
)


def body(context: Context) -> Verdict:
    requirements: Any = importlib.import_module("packaging.requirements")
    versions = _installed.versions()
    required: dict[str, list[Any]] = {}
    unreadable = []
    for folder in _installed.dist_infos():
        try:
            name, lines = _metadata(folder)
            required[name] = [requirements.Requirement(line) for line in lines]
        except (OSError, requirements.InvalidRequirement) as error:
            unreadable.append(f"{folder.name}/METADATA: {' '.join(str(error).split())}")
    applicable = _applicable(required)
    pins = {_installed.normalized(name) for name in context.pins}
    left_out = sorted(
        {need.name for who, need in applicable if _left_out(who, need, pins, versions)}
    )
    counted = [(who, need) for who, need in applicable if need.name not in left_out]
    unmet = sorted(set(filter(None, (_unmet(who, need, versions, pins) for who, need in counted))))
    evidence = {
        "distributions": len(required),
        "requirements": len(counted),
        "unmet": unmet,
        "unreadable": unreadable,
        "left_out_by_the_lock": left_out,
    }
    problems = unmet + unreadable
    if not problems and not required:
        problems = ["no distribution is installed"]
    return Verdict(
        passed=not problems,
        summary=first_of(problems)
        or f"{len(counted)} requirements of {len(required)} distributions are met",
        evidence=evidence,
        hint=_HINT if problems else "",
    )


def _metadata(folder: Path) -> tuple[str, list[str]]:
    text = (folder / "METADATA").read_text(encoding="utf-8", errors="replace")
    head = HeaderParser().parsestr(text)
    lines = [str(line) for line in head.get_all("Requires-Dist", [])]
    return _installed.normalized(str(head["Name"])), lines


def _applicable(required: dict[str, list[Any]]) -> list[_Requirement]:
    """Return the requirements that apply here, with those of the extras that others ask for."""
    applicable: list[_Requirement] = []
    queue, known = [(name, "") for name in required], set[tuple[str, str]]()
    while queue:
        name, extra = pair = queue.pop()
        if pair in known:
            continue
        known.add(pair)
        for need in required.get(name, ()):
            base = need.marker is None or need.marker.evaluate({"extra": ""})
            # For an extra only what it adds counts; the rest was counted without it.
            added = not base and extra and need.marker.evaluate({"extra": extra})
            if added if extra else base:
                applicable.append((f"{name}[{extra}]" if extra else name, need))
                queue += [(_installed.normalized(need.name), wanted) for wanted in need.extras]
    return applicable


def _left_out(who: str, need: Any, pins: set[str], versions: dict[str, list[str]]) -> bool:
    """Return whether the lock left a requirement out on purpose.

    A lock is complete, so a requirement of one of its own that it lacks was left out: vLLM for
    the CPU requires torchvision and more, which do not exist without CUDA.
    """
    name = _installed.normalized(need.name)
    return who.partition("[")[0] in pins and name not in pins and name not in versions


def _unmet(who: str, need: Any, versions: dict[str, list[str]], pins: set[str]) -> str:
    name = _installed.normalized(need.name)
    text = f"{who} requires {need.name}{need.specifier}"
    installed = versions.get(name)
    if not installed:
        return f"{text}, which is not installed"
    allowed = need.specifier
    if {who.partition("[")[0], name} <= pins:
        # The lock may take another build of a pinned version: 2.13.0 in place of 2.13.0+cpu.
        allowed = type(allowed)(re.sub(r"\+[\w.]+", "", str(allowed)))
    met = all(allowed.contains(version, prereleases=True) for version in installed)
    return "" if met else f"{text}; installed is {' and '.join(installed)}"


CHECK = Check(
    title="Dependencies consistent",
    proves="every requirement of every distribution is installed in a version that it allows",
    step=90,
    profile="passive",
    deadline_s=60,
    needs=Needs(packages=("packaging",), distributions=("packaging",)),
    body=body,
)
