"""A prefix that an earlier version filled: nothing is built again, and every verb works on it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from provision.engine import locks, resolution_cache, verified
from provision.host import record
from provision.host._model import Host
from provision.settings import Settings
from provision.steps.model import Lock
from tests.faults.small_up import Small

RECORDED = Path(__file__).parents[1] / "earlier" / "prefix-0.1.0.tar.gz"
PLACE = Path("/tmp/vllm-ready-0.1.0")  # fingerprints hold the path at which a prefix was made
OLDER, CURRENT = "20261130T194802Z-e68e", "20261130T194805Z-03f8"

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="recorded with Python 3.11")


@pytest.fixture
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """Return the recorded prefix as if this host and this catalogue had made it."""
    shared = tmp_path_factory.getbasetemp().parent / "earlier-prefix"
    with locks.hold(shared, "test"):  # several workers share the one place
        with tarfile.open(RECORDED) as archive:
            archive.extractall(PLACE.parent, filter="fully_trusted")
        (PLACE / "bin").mkdir()
        (PLACE / "bin" / "python3.11").symlink_to(os.path.realpath(sys.executable))
        small = Small(folder=PLACE, wheels=PLACE / "envs" / "wheels", lock=_adopt(PLACE / "envs"))
        try:
            yield small
        finally:
            shutil.rmtree(PLACE)


def _adopt(prefix: Path) -> Lock:
    """Put this host in the place of the recorded one."""
    for path in prefix.glob("*/.vllm-ready/verified/*.json"):
        path.rename(path.with_name(f"{verified.host_id()}.json"))
    host = Host(
        record.record(network=False, paths={}, sources={}, facts=resolution_cache.FACTS).readings
    )
    wanted = resolution_cache.load(prefix)
    assert wanted
    wish, tool = resolution_cache.wish(host, Settings()), resolution_cache.tool()
    resolution_cache.save(prefix, msgspec.structs.replace(wanted, wish=wish, tool=tool))
    return wanted.lock


def test_nothing_is_built_again(earlier: Small) -> None:
    code, out, err = earlier.run("up", "--yes", "--json")
    report = json.loads(out)
    assert (code, report["verdict"], report["generation"]) == (0, "verified", CURRENT), err
    assert {step["outcome"] for step in report["steps"]} == {"kept"}
    assert sorted(path.name for path in earlier.prefix.glob("2*")) == [OLDER, CURRENT]


def test_every_verb_works_on_it(earlier: Small) -> None:
    code, out, err = earlier.run("check", "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "verified"), err
    code, out, err = earlier.run("wheels", "--json")
    assert (code, [wheel["version"] for wheel in json.loads(out)["wheels"]]) == (0, ["2.8.3"]), err
    code, out, err = earlier.run("rollback")
    assert (code, earlier.current.name) == (0, OLDER), err
    code, out, err = earlier.run("up", "--yes")
    assert (code, earlier.current.name) == (0, CURRENT), err
    code, out, err = earlier.run("prune", "--set", "keep=1")
    assert (code, [path.name for path in earlier.prefix.glob("2*")]) == (0, [CURRENT]), err


def test_the_report_that_stays_with_it_can_be_shown(earlier: Small) -> None:
    report = earlier.current / ".vllm-ready" / "verified" / f"{verified.host_id()}.json"
    code, out, err = earlier.run("report", str(report))
    assert (code, "VERIFIED" in out) == (0, True), err
