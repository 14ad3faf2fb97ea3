"""engine/fingerprint.py: the fingerprints of environments that earlier versions made."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from provision.catalog import rows
from provision.engine import fingerprint, resolution_cache
from provision.engine.discover_steps import discover
from provision.host import from_text
from provision.plan._model import Plan
from provision.session.planning import make_plan
from provision.settings import Settings
from provision.steps.model import Lock, Site

TESTS = Path(__file__).parents[1]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """The fingerprints of one host under an earlier version, with all their inputs."""

    host: str
    wish: str
    chain: tuple[str, ...]
    plan: Plan
    lock: Lock
    site: Site


RECORDED = [
    msgspec.json.decode(line, type=Recorded)
    for line in (TESTS / "earlier" / "chains-0.1.0.jsonl").read_bytes().splitlines()
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.host)
def test_earlier_environments_keep_their_fingerprints(recorded: Recorded) -> None:
    chain = fingerprint.chain(recorded.plan, recorded.lock, recorded.site, discover())
    assert chain == recorded.chain


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.host)
def test_the_same_settings_and_host_keep_their_fingerprint(recorded: Recorded) -> None:
    host = from_text.parse((TESTS / "hosts" / f"{recorded.host}.yaml").read_text(), recorded.host)
    assert resolution_cache.wish(host, Settings()) == recorded.wish


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.host)
def test_a_new_plan_in_other_words_finds_the_earlier_environment(
    recorded: Recorded, catalogue: rows.Catalogue
) -> None:
    host = from_text.parse((TESTS / "hosts" / f"{recorded.host}.yaml").read_text(), recorded.host)
    plan = make_plan(host, Settings(), catalogue)
    assert isinstance(plan, Plan)
    chain = fingerprint.chain(
        plan.in_words_of(recorded.plan), recorded.lock, recorded.site, discover()
    )
    assert chain == recorded.chain


def test_a_plan_that_decides_otherwise_keeps_its_own_words() -> None:
    plan = RECORDED[-1].plan
    other = msgspec.structs.replace(plan, cuda="12.6", attention=())
    assert plan.in_words_of(other) is plan
