"""Runs below the logs: names of a run, and errors for one without a report."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from provision.errors import UnreadableInput, WrongUsage
from provision.session import runs
from tests.report.test_texts import report

OLD, NEW, KILLED = "20261119T100000Z-aaaa", "20261120T100000Z-bbbb", "20261121T100000Z-cccc"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for run in (OLD, NEW):
        (tmp_path / run).mkdir()
        (tmp_path / run / "report.json").write_bytes(
            msgspec.json.encode(msgspec.structs.replace(report(), run=run))
        )
    (tmp_path / "summary.txt").write_text("")
    return tmp_path


def test_the_newest_comes_first(logs: Path) -> None:
    assert runs.ids(logs) == [NEW, OLD]
    assert runs.ids(logs / "none") == []
    assert runs.read(logs, None).run == NEW


@pytest.mark.parametrize("name", [OLD, OLD[:8], f"{{}}/{OLD}", f"{{}}/{OLD}/report.json"])
def test_a_run_by_its_id_a_prefix_a_folder_or_a_file(logs: Path, name: str) -> None:
    assert runs.read(logs, name.format(logs)).run == OLD


def test_a_killed_run_is_named_with_the_newest_report(logs: Path) -> None:
    (logs / KILLED).mkdir()
    with pytest.raises(UnreadableInput, match=f"{KILLED} has no report") as refused:
        runs.read(logs, KILLED)
    assert NEW in refused.value.hint
    assert runs.read(logs, None).run == NEW


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("2026", "is the beginning of 2 runs"),
        ("nowhere", "no run and no file `nowhere`"),
        ("", "no run"),
    ],
)
def test_a_name_without_a_run(logs: Path, name: str, problem: str) -> None:
    with pytest.raises(WrongUsage, match=problem):
        runs.read(logs, name)


def test_no_run_yet(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no run yet"):
        runs.read(tmp_path / "logs", None)


def test_a_report_that_is_too_large_is_refused(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_LIMIT", 1024 * 1024)
    with (logs / NEW / "report.json").open("ab") as stream:
        stream.truncate(1024 * 1024 + 1)
    with pytest.raises(UnreadableInput, match="larger than 1 MiB"):
        runs.read(logs, None)


def test_a_truncated_report_is_refused(logs: Path) -> None:
    path = logs / NEW / "report.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableInput, match="truncated"):
        runs.read(logs, None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(logs: Path) -> None:
    logs.chmod(0)
    try:
        with pytest.raises(UnreadableInput, match="Permission denied"):
            runs.read(logs, None)
    finally:
        logs.chmod(0o700)
