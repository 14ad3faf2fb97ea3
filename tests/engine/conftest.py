"""Fixtures of the engine tests: toy wheels, made once, and a world of its own for every test."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.synthetic import World, make_wheels


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys") / "wheels"
    make_wheels(folder)
    return folder


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder with an awkward name."""
    with tempfile.TemporaryDirectory(prefix="vllm ready ü ") as folder:
        yield Path(folder)


@pytest.fixture
def world(place: Path, toys: Path) -> World:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    return World(
        prefix=place / "envs", wheels=toys, cache=place / "cache", uv=uv, logs=place / "logs"
    )
