"""Finds checks by listing their folder; a file that cannot be loaded is named and hides no other."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ._contract import Check

# What takes seconds to import, in the order in which it is needed: once for all checks that need it.
_DEAR = ("torch", "vllm")
_TOLD = ("name", "title", "proves", "step", "weight", "on", "profile", "deadline_s", "every_gpu")


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if not path.name.startswith("_"))


def load(package: str, name: str) -> Check:
    """The CHECK of one file; ImportError, or whatever the file raises, where there is none."""
    check = getattr(importlib.import_module(f"{package}.{name}"), "CHECK", None)
    if not isinstance(check, Check) or check.name != name:
        raise ImportError(f"{name}.py has no CHECK = Check(name={name!r}, ...)")
    return check


def descriptions(package: str, folder: Path) -> list[dict[str, Any]]:
    """What every check declares, as plain JSON; `problem` says why a file could not be loaded."""
    return [_description(package, name) for name in names(folder)]


def _description(package: str, name: str) -> dict[str, Any]:
    try:
        check = load(package, name)
    except Exception as error:  # noqa: BLE001 - whatever a check file raises is that file's own problem
        return {"name": name, "problem": f"{type(error).__name__}: {error}"}
    told: dict[str, Any] = {key: getattr(check, key) for key in _TOLD}
    # A passive check reads files: it needs torch to be there, and imports nothing.
    warm = () if check.profile == "passive" else tuple(name for name in _DEAR if name in check.needs.packages)
    return told | {"needs": asdict(check.needs), "warm": warm}
