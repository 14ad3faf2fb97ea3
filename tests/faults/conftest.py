"""Small wheels and their lock, made once; every test has its own folder with an awkward name."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.steps.model import Lock
from tests.faults.small_up import Small, at, locked


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lock]:
    folder = tmp_path_factory.mktemp("small wheels")
    return folder / "wheels", locked(folder)


@pytest.fixture
def small(stocked: tuple[Path, Lock]) -> Iterator[Small]:
    wheels, lock = stocked
    with tempfile.TemporaryDirectory(prefix="vllm ready ü ") as folder:
        copy = Path(shutil.copytree(wheels, Path(folder) / "wheels"))
        made = Small(folder=Path(folder), wheels=copy, lock=at(copy.as_uri(), lock))
        made.wish()
        yield made


@pytest.fixture
def finished(small: Small) -> Small:
    """With an environment that is current and verified."""
    code, out, err = small.run("up", "--yes")
    assert code == 0, out + err
    return small
