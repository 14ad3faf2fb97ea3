"""Changes by hand: an added package, a removed Python, single steps, a copy, a second checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from uv import find_uv_bin

from provision import cli
from provision.engine import environments, resolution_cache
from provision.engine.journal import Journal
from provision.errors import UnreadableInput, WrongUsage
from tests.engine.small_index import wheel
from tests.verbs.conftest import Place

pytestmark = pytest.mark.environment


def add_by_hand(place: Place) -> Path:
    """The file of a package of the user's own."""
    made = wheel(place.folder / "mine", "myplugin", "1.0")
    argv = [
        find_uv_bin(),
        "pip",
        "install",
        "-q",
        "--python",
        str(place.prefix / "current/bin/python"),
        str(made),
    ]
    subprocess.run(
        argv, check=True, env={**os.environ, "UV_CACHE_DIR": str(place.folder / "cache")}
    )
    return next(place.prefix.glob("current/lib/python*/site-packages/myplugin.py"))


def test_a_package_added_by_hand_stays_and_is_named(
    place: Place, output_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    output_of("up", "--yes")
    mine = add_by_hand(place)
    assert "nothing to do" in output_of("up", "--yes")
    assert output_of("check").startswith("verified (exit code 0)")
    capsys.readouterr()
    assert cli.run(["check", "--json"]) == 0
    (locked,) = [
        check
        for check in json.loads(capsys.readouterr().out)["checks"]
        if check["name"] == "distributions_as_locked"
    ]
    assert "added by hand" in locked["summary"]
    assert locked["evidence"]["extra"] == ["myplugin 1.0"]
    (mine.parent / "sympy.py").write_text("torn")
    output_of("up", "--yes")
    assert (mine.parent / "sympy.py").read_text() != "torn"
    output_of("provision", "--only", "50")
    assert mine.exists()


def test_a_killed_repair_goes_on_beside_it(place: Place, output_of: Callable[..., str]) -> None:
    output_of("up", "--yes")
    mine = add_by_hand(place)
    (mine.parent / "sympy.py").write_text("torn")
    (
        place.prefix / "current" / environments.STATE / environments.COMPLETE
    ).unlink()  # the first thing that a repair does
    output_of("up", "--yes")
    assert mine.exists()


def test_steps_one_by_one(place: Place, output_of: Callable[..., str]) -> None:
    assert cli.run(["provision", "--only", "10", "--yes"]) == 5
    with pytest.raises(WrongUsage, match="step 30 builds on step 20"):
        cli.run(["provision", "--only", "30", "--yes"])
    (made,) = environments.list_environments(place.prefix)
    assert [*Journal(Path(made.path) / environments.STATE).done_fingerprints()] == [
        "10-preflight"
    ], "what was done is not undone"
    for number in ("20", "30", "40", "50"):
        assert cli.run(["provision", "--only", number, "--yes"]) == 5, number
    output_of("provision", "--from", "60", "--yes")
    assert place.generations() == [made.id], "all of them in one environment"
    assert "nothing to do" in output_of("up", "--yes")


def test_a_missing_python_is_replaced_by_another_of_its_version(
    place: Place, output_of: Callable[..., str], tmp_path: Path
) -> None:
    gone = msgspec.structs.replace(place.wanted, host_python=str(tmp_path / "python" / "python3"))
    resolution_cache.save(place.prefix, gone)
    output_of("up", "--yes")
    result = resolution_cache.load(place.prefix)
    assert result
    assert os.access(result.host_python, os.X_OK)
    assert result.lock == gone.lock


def test_a_copy_that_followed_links_is_named_before_anything_is_built(place: Place) -> None:
    (place.prefix / "current").mkdir()
    with pytest.raises(WrongUsage, match="is a folder or file instead of a link to an environment"):
        cli.run(["up", "--yes"])
    assert place.generations() == []


@pytest.mark.parametrize("spoilt", ["plan.json", "lock.json"])
def test_an_environment_that_does_not_say_what_it_is(
    place: Place, output_of: Callable[..., str], spoilt: str
) -> None:
    output_of("up", "--yes")
    (place.prefix / "current" / environments.STATE / spoilt).write_text('{"cut":')
    with pytest.raises(UnreadableInput, match="does not say what it is"):
        cli.run(["check"])
    output_of("up", "--yes")
    assert output_of("check").startswith("verified")


def test_a_current_link_to_nothing_is_replaced(place: Place, output_of: Callable[..., str]) -> None:
    output_of("up", "--yes")
    (current,) = place.generations()
    shutil.rmtree(place.prefix / current)
    with pytest.raises(UnreadableInput, match="does not say what it is"):
        cli.run(["check"])
    output_of("up", "--yes")
    assert place.generations() != [current]


@pytest.mark.parametrize("verb", ["rollback", "prune"])
def test_a_mistyped_place_is_named_and_not_made(place: Place, tmp_path: Path, verb: str) -> None:  # noqa: ARG001
    with pytest.raises(WrongUsage, match="there is no environment"):
        cli.run([verb, "--prefix", str(tmp_path / "envz")])
    assert not (tmp_path / "envz").exists()


def test_an_environment_whose_own_note_is_spoilt_is_seen_and_pruned(
    place: Place, output_of: Callable[..., str]
) -> None:
    output_of("up", "--yes")
    stray = place.prefix / "20260101T000000Z-0000" / environments.STATE / environments.MADE
    stray.parent.mkdir(parents=True)
    stray.write_text("")
    assert "20260101T000000Z-0000" in output_of("generations")
    assert "removed 20260101T000000Z-0000" in output_of("prune")
