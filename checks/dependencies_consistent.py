"""Whether every requirement of every installed distribution is met, with the markers and extras of this interpreter."""

from __future__ import annotations

import importlib
import re
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from . import _installed
from ._contract import Check, Context, Needs, Verdict

# Who requires it, and the requirement as packaging has parsed it.
Asked = tuple[str, Any]


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
    asked = _asked(required)
    pins = {_installed.normalized(name) for name in context.pins}
    left_out = sorted({what.name for who, what in asked if _left_out(who, what, pins, versions)})
    counted = [(who, what) for who, what in asked if what.name not in left_out]
    unmet = sorted({said for who, what in counted if (said := _unmet(who, what, versions, pins))})
    evidence = {
        "distributions": len(required),
        "requirements": len(counted),
        "unmet": unmet,
        "unreadable": unreadable,
        "left_out_by_the_lock": left_out,
    }
    problems = unmet + unreadable
    if problems or not required:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        return Verdict(
            passed=False,
            summary="; ".join(problems[:3]) + more or "no distribution is installed",
            evidence=evidence,
            hint="vllm-ready provision has what was locked again; what you add belongs in extra_packages",
        )
    return Verdict(
        passed=True,
        summary=f"{len(counted)} requirements of {len(required)} distributions are met",
        evidence=evidence,
    )


def _metadata(folder: Path) -> tuple[str, list[str]]:
    head = HeaderParser().parsestr((folder / "METADATA").read_text(encoding="utf-8", errors="replace"))
    return _installed.normalized(str(head["Name"])), [str(line) for line in head.get_all("Requires-Dist", [])]


def _asked(required: dict[str, list[Any]]) -> list[Asked]:
    """Every requirement that counts here: of each distribution itself, and of the extras that others ask of it."""
    asked: list[Asked] = []
    queue, seen = [(name, "") for name in required], set[tuple[str, str]]()
    while queue:
        name, extra = pair = queue.pop()
        if pair in seen:
            continue
        seen.add(pair)
        for one in required.get(name, ()):
            base = one.marker is None or one.marker.evaluate({"extra": ""})
            # With an extra only what it adds; what it has in common was asked without it.
            if base if not extra else not base and one.marker.evaluate({"extra": extra}):
                asked.append((f"{name}[{extra}]" if extra else name, one))
                queue += [(_installed.normalized(one.name), wanted) for wanted in one.extras]
    return asked


def _left_out(who: str, what: Any, pins: set[str], versions: dict[str, list[str]]) -> bool:
    """A lock is complete: what one of its own requires and it does not have was left out on purpose.

    vLLM for the CPU requires torchvision and more, of which there is none without CUDA.
    """
    name = _installed.normalized(what.name)
    return who.partition("[")[0] in pins and name not in pins and name not in versions


def _unmet(who: str, what: Any, versions: dict[str, list[str]], pins: set[str]) -> str:
    found = versions.get(_installed.normalized(what.name))
    wanted = f"{what.name}{what.specifier}"
    if not found:
        return f"{who} requires {wanted}, which is not installed"
    allowed = what.specifier
    if {who.partition("[")[0], _installed.normalized(what.name)} <= pins:
        # Of a version that is pinned the lock may take another build: 2.13.0 in place of 2.13.0+cpu.
        allowed = type(allowed)(re.sub(r"\+[\w.]+", "", str(allowed)))
    if all(allowed.contains(version, prereleases=True) for version in found):
        return ""
    return f"{who} requires {wanted}; installed is {' and '.join(found)}"


CHECK = Check(
    name="dependencies_consistent",
    title="Dependencies consistent",
    proves="what every installed distribution requires on this interpreter is installed, in a version that it allows",
    step=90,
    weight="must",
    on="environment",
    profile="passive",
    deadline_s=60,
    needs=Needs(packages=("packaging",), distributions=("packaging",)),
    body=body,
)
