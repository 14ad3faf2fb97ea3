"""What the tests share: the catalogue, loaded once, and the switch that renews golden files."""

from __future__ import annotations

import pytest

from provision.catalog import rows


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="write tests/plans anew; look at the diff")


@pytest.fixture(scope="session")
def catalogue() -> rows.Catalogue:
    return rows.load()
