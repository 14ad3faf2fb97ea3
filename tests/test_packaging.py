"""pyproject.toml: a built package has every package folder and every file that the code reads."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="tomllib came with Python 3.11")

ROOT = Path(__file__).parents[1]
SETUP: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "tool"
]["setuptools"]


def found() -> set[str]:
    """Find packages as setuptools does: by pattern, if every folder above has an __init__.py."""
    names = {
        ".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("*/**/__init__.py")
    }
    whole = {name for name in names if all(part in names for part in parents(name))}
    return {
        name
        for name in whole
        if any(fnmatchcase(name, package) for package in SETUP["packages"]["find"]["include"])
    }


def parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


@pytest.mark.parametrize("top", ["provision", "checks"])
def test_every_folder_with_code_is_a_package_that_is_found(top: str) -> None:
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / top).rglob("*.py")}
    assert {".".join(folder.parts) for folder in folders} == {
        name for name in found() if name.split(".")[0] == top
    }


def test_nothing_else_is_packed() -> None:
    assert {name.split(".")[0] for name in found()} == {"provision", "checks"}


def test_every_other_file_goes_with_its_package() -> None:
    packed = {
        file
        for package, patterns in SETUP["package-data"].items()
        for pattern in patterns
        for file in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    for top in ("provision", "checks"):
        others = {
            path
            for path in (ROOT / top).rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc", ".md")
        }
        assert others <= packed
    assert packed


def test_setuptools_agrees() -> None:
    setuptools = pytest.importorskip("setuptools", reason="only where it happens to be installed")
    assert (
        set(setuptools.find_packages(str(ROOT), include=SETUP["packages"]["find"]["include"]))
        == found()
    )
