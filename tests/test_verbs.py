"""Verbs for environments: list, roll back, prune and check, on environments made for the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from provision import cli
from provision.engine import environments, locks
from provision.errors import Locked, SourceFailed, WrongUsage


def generation(prefix: Path, number: int, *, complete: bool = True) -> Path:
    """Make an empty environment with the notes that the engine would have written."""
    folder = prefix / f"2026010{number}T000000Z-000{number}"
    state = folder / environments.STATE
    state.mkdir(parents=True)
    made = environments.Creation(
        number=number, made=f"2026-01-0{number}T00:00:00Z", target=f"target {number}"
    )
    (state / environments.MADE).write_bytes(msgspec.json.encode(made))
    if complete:
        (state / environments.COMPLETE).write_text("{}")
    return folder


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Three complete generations that were current one after the other, and one that was begun."""
    for number in (1, 2, 3):
        environments.switch(tmp_path, generation(tmp_path, number).name)
    generation(tmp_path, 4, complete=False)
    return tmp_path


def output_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.run(list(argv)) == 0
    return capsys.readouterr().out


def test_generations_are_listed(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = output_of(capsys, "generations", "--prefix", str(prefix)).splitlines()
    assert [line.split()[1] for line in lines] == ["complete", "complete", "current", "unfinished"]
    listed = json.loads(output_of(capsys, "generations", "--json", "--prefix", str(prefix)))
    assert [item["current"] for item in listed] == [False, False, True, False]


def test_no_environment_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no environment yet" in output_of(
        capsys, "generations", "--prefix", str(tmp_path / "none")
    )


def test_rollback_goes_back_and_to_a_named_one(
    prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the current environment is 20260102T000000Z-0002" in output_of(
        capsys, "rollback", "--prefix", str(prefix)
    )
    assert "0003" in output_of(capsys, "rollback", "20260103T000000Z-0003", "--prefix", str(prefix))
    assert environments.current_id(prefix) == "20260103T000000Z-0003"


def test_rollback_passes_over_what_never_passed_its_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _, third = (generation(tmp_path, number) for number in (1, 2, 3))
    with pytest.raises(WrongUsage, match="no other environment was ever in use"):
        cli.run(["rollback", "--prefix", str(tmp_path)])
    for used in (first, third):
        environments.switch(tmp_path, used.name)
    assert f"the current environment is {first.name}" in output_of(
        capsys, "rollback", "--prefix", str(tmp_path)
    )


def test_rollback_and_prune_as_documents(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    back = json.loads(output_of(capsys, "rollback", "--json", "--prefix", str(prefix)))
    assert back == {"current": "20260102T000000Z-0002", "still_running": []}
    pruned = json.loads(
        output_of(capsys, "prune", "--json", "--set", "keep=1", "--prefix", str(prefix))
    )
    assert "20260101T000000Z-0001" in pruned["removed"]


def test_an_unfinished_environment_stays_and_is_named(
    prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(["prune", "--prefix", str(prefix)])
    cli.run(["tasks", "--prefix", str(prefix)])
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "20260104T000000Z-0004 is not finished and stays: ./setup.sh goes on with it"
    assert err[1].startswith("20260104T000000Z-0004 is newer and not finished: ./setup.sh")


def test_rollback_to_what_is_not_complete_is_refused(prefix: Path) -> None:
    with pytest.raises(WrongUsage, match="not complete"):
        cli.run(["rollback", "20260104T000000Z-0004", "--prefix", str(prefix)])
    assert environments.current_id(prefix) == "20260103T000000Z-0003"


@pytest.fixture
def running(prefix: Path) -> Iterator[int]:
    """A process whose folder is the oldest generation."""
    folder = prefix / "20260101T000000Z-0001"
    code = "import sys, time; print('here', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_prune_keeps_what_is_current_and_what_is_in_use(
    prefix: Path, running: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert str(running) in output_of(capsys, "generations", "--prefix", str(prefix))
    output_of(capsys, "prune", "--set", "keep=1", "--prefix", str(prefix))
    left = {environment.id for environment in environments.list_environments(prefix)}
    assert {"20260101T000000Z-0001", "20260103T000000Z-0003"} <= left
    assert "20260102T000000Z-0002" not in left


def test_checks_are_listed_with_what_they_prove(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(output_of(capsys, "check", "list", "--json"))
    names = {item["name"] for item in listed}
    assert {
        "record_whole",
        "distributions_as_locked",
        "extensions_import",
        "vllm_generates",
        "vllm_serves",
    } <= names
    assert all(item["proves"] and not item["problem"] for item in listed)
    assert "record_whole" in output_of(capsys, "check", "list")


def test_a_check_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no check `frobnicate`") as refused:
        cli.run(["check", "frobnicate", "--prefix", str(tmp_path)])
    assert "./setup.sh check list" in refused.value.hint


def test_check_waits_for_nobody_and_says_who_is_at_work(prefix: Path) -> None:
    with locks.hold(prefix, "up"), pytest.raises(Locked, match="another run works here: `up`"):
        cli.run(["check", "record_whole", "--prefix", str(prefix)])


def test_check_without_an_environment_says_so(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no current environment"):
        cli.run(["check", "--prefix", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


def test_without_any_source_it_is_the_network_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "http://127.0.0.1:9/simple"
    wishes = [f"sources.{name}={nowhere}" for name in ("pypi", "pytorch", "vllm", "github")]
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    argv = [word for wish in (*wishes, "profile=cpu") for word in ("--set", wish)]
    with pytest.raises(SourceFailed, match="there is no plan without PyPI"):
        cli.run(["up", "--yes", "--prefix", str(tmp_path / "envs"), *argv])
    assert "There is no plan" not in capsys.readouterr().out
