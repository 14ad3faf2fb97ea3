"""Finds checks by listing their folder; a file that cannot be loaded hides no other."""

from __future__ import annotations

import importlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ._contract import Check

# Packages that take seconds to import, in the order in which they depend on each other.
_SLOW_IMPORTS = ("torch", "vllm")
_DESCRIBED = (
    *("name", "title", "proves", "step", "weight", "on", "profile"),
    *("deadline_s", "every_gpu"),
)


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if not path.name.startswith("_"))


def load(package: str, name: str) -> Check:
    """Return the CHECK of one file, with its name and title filled in.

    Raise ImportError, or any exception that the file itself raises, if there is none.
    """
    check = getattr(importlib.import_module(f"{package}.{name}"), "CHECK", None)
    if not isinstance(check, Check) or check.name not in ("", name):
        raise ImportError(f"{name}.py has no CHECK = Check(...), or one with another name")
    return replace(check, name=name, title=check.title or name.replace("_", " ").capitalize())


def descriptions(package: str, folder: Path) -> list[dict[str, Any]]:
    """Return the declaration of every check as plain JSON, or the `problem` of loading its file."""
    return [_description(package, name) for name in names(folder)]


def _description(package: str, name: str) -> dict[str, Any]:
    try:
        check = load(package, name)
    except Exception as error:  # noqa: BLE001 - a check file may raise anything on import
        return {"name": name, "problem": f"{type(error).__name__}: {error}"}
    # A passive check reads files: it needs torch to be installed, and imports nothing.
    imports = () if check.profile == "passive" else _SLOW_IMPORTS
    return {
        **{key: getattr(check, key) for key in _DESCRIBED},
        "needs": asdict(check.needs),
        "warm": tuple(name for name in imports if name in check.needs.packages),
    }
