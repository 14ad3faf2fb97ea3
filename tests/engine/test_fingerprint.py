"""engine/fingerprint.py: the fingerprints of environments that earlier versions made."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from provision.engine import fingerprint, resolution_cache
from provision.engine.discover_steps import discover
from provision.host import from_text
from provision.plan._model import Plan
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
