"""The logs of old runs: announced first, then removed, and never what is in use or the user's."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import msgspec
import pytest

from provision.engine import environments
from provision.engine.journal import Journal
from provision.session import retention, runs
from provision.session._model import Session
from provision.settings import Settings

RUNS = [f"202611{day:02}T000000Z-0000" for day in range(1, 10)]
FILES = ("report.json", "report.md", "report.html", "junit.xml", "40-torch.log", "86-x/check-a.log")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Nine runs, of which two are kept."""
    for run in RUNS:
        for name in FILES:
            path = tmp_path / "logs" / run / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    return Session(
        settings=Settings(keep_logs=2),
        prefix=str(tmp_path / "envs"),
        logs=str(tmp_path / "logs" / RUNS[-1]),
        run=RUNS[-1],
        say=print,
        options=Namespace(),
    )


def left(session: Session) -> list[str]:
    return sorted(runs.ids(Path(session.logs).parent))


def test_the_first_removal_is_announced_one_run_before(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    retention.prune(session)
    assert left(session) == RUNS
    assert "the next run removes the logs of 7 runs" in capsys.readouterr().err
    retention.prune(session)
    assert left(session) == RUNS[-2:]
    assert capsys.readouterr().err == ""


def test_0_keeps_all(session: Session) -> None:
    session = msgspec.structs.replace(session, settings=Settings(keep_logs=0))
    for _ in range(3):
        retention.prune(session)
    assert left(session) == RUNS


def test_what_is_in_use_stays(session: Session) -> None:
    logs, prefix = Path(session.logs).parent, Path(session.prefix)
    (logs / "baseline-host.json").write_text(f'{{"run": "{RUNS[0]}"}}')
    (logs / "watch-host.json").write_text(f'{{"run": "{RUNS[1]}"}}')
    proof = prefix / "one" / environments.STATE / "verified" / "host.json"
    proof.parent.mkdir(parents=True)
    proof.write_text(f'{{"run": "{RUNS[2]}"}}')
    begun = environments.find_or_begin(prefix, "target", "20261110T000000Z-0000")
    Journal(Path(begun.path) / environments.STATE).write("started", "40-torch", "f", RUNS[3])
    for _ in range(2):
        retention.prune(session)
    assert left(session) == [*RUNS[:4], *RUNS[-2:]]


def test_what_an_environment_of_another_prefix_refers_to_stays(
    session: Session, tmp_path: Path
) -> None:
    logs, other = Path(session.logs).parent, tmp_path / "other"
    proof = other / "one" / environments.STATE / "verified" / "host.json"
    proof.parent.mkdir(parents=True)
    for path in (proof, logs / RUNS[4] / "report.json"):
        path.write_text(json.dumps({"run": RUNS[4], "settings": {"prefix": str(other)}}))
    for _ in range(2):
        retention.prune(session)
    assert left(session) == [RUNS[4], *RUNS[-2:]]


def test_a_file_of_the_user_stays(session: Session) -> None:
    logs = Path(session.logs).parent
    mine = logs / RUNS[0] / "notes.txt"
    mine.write_text("mine")
    (mine.parent / "my-own.log").write_text("mine, too")
    (logs / "my-folder").mkdir()
    (logs / RUNS[1] / "link").symlink_to("/etc")
    for _ in range(2):
        retention.prune(session)
    assert left(session) == [RUNS[0], RUNS[1], *RUNS[-2:]]
    assert {path.name for path in mine.parent.iterdir()} == {"notes.txt", "my-own.log"}
    assert (logs / "my-folder").is_dir()
