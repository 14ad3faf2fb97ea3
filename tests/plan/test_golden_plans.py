"""Golden plans: a change of the planner or the catalogue shows in tests/plans, a file per host."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from provision.catalog.rows import Catalogue
from provision.host import from_text
from provision.session.planning import make_plan
from provision.settings import Settings

TESTS = Path(__file__).parents[1]
HOSTS = sorted((TESTS / "hosts").iterdir())


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.stem)
def test_plan_is_as_recorded(
    path: Path, catalogue: Catalogue, request: pytest.FixtureRequest
) -> None:
    made = make_plan(from_text.parse(path.read_text(), path.name), Settings(), catalogue)
    text = msgspec.json.format(msgspec.json.encode(made), indent=1).decode() + "\n"
    golden = TESTS / "plans" / f"{path.stem}.json"
    if request.config.getoption("--renew-golden"):
        golden.write_text(text)
    assert text == golden.read_text(), (
        "look at the difference; if it is right: pytest --renew-golden"
    )


def test_no_golden_plan_is_left_behind() -> None:
    assert {path.stem for path in (TESTS / "plans").iterdir()} == {path.stem for path in HOSTS}
    assert len(HOSTS) >= 25
