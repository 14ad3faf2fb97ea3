"""A prefix that an earlier version filled: nothing is built again, and every verb works on it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from provision.engine import bundle, resolution_cache, verified
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
def earlier() -> Iterator[Small]:
    """The recorded prefix, as if this host and this catalogue had made it."""
    # All suites on this machine share the one place.
    with PLACE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with tarfile.open(RECORDED) as archive:
            archive.extractall(PLACE.parent, filter="fully_trusted")
        (PLACE / "bin").mkdir()
        (PLACE / "bin" / "python3.11").symlink_to(os.path.realpath(sys.executable))
        try:
            wheels = PLACE / "envs" / "wheels"
            yield Small(folder=PLACE, wheels=wheels, lock=_adopt(PLACE / "envs"))
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


def test_an_earlier_bundle_can_be_read(tmp_path: Path) -> None:
    manifest = RECORDED.with_name("bundle-0.1.0.json")
    shutil.copy(manifest, tmp_path / "bundle.json")
    document = json.loads(manifest.read_text())
    for name, size in ((file["path"], file["size"]) for file in document["files"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)  # only sizes are compared before a wheel is used
    read = bundle.load(tmp_path)
    lock = bundle.lock_within(read, tmp_path)
    assert read.tool == "0.1.0"
    assert {pin.name: pin.version for pin in lock.pins} == {
        pin["name"]: pin["version"] for pin in document["lock"]["pins"]
    }
