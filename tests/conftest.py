"""What the tests share: the catalogue, loaded once, and the switch that renews golden files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.catalog import rows

RESULTS = Path(__file__).parents[1] / "tasks" / "task-results"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="write tests/plans anew; look at the diff")


@pytest.fixture(scope="session")
def catalogue() -> rows.Catalogue:
    return rows.load()


@pytest.fixture(scope="session", autouse=True)
def _no_pages_of_tests() -> Iterator[None]:
    """What a person reads in this checkout is of runs of this checkout; a test says --set tasks=DIR."""
    before = pages()
    yield
    assert pages() == before, "a test has written into the checkout's own tasks/task-results"


def pages() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in RESULTS.glob("*")}
