"""`report`: a run in every format, on stdout or in a file; the files beside report.json."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from provision import cli
from provision.doors import files
from provision.errors import NotWritable
from provision.report import as_text
from provision.session import formats, outputs
from provision.session._model import Session
from provision.settings import Settings
from tests.report.big_report import big_report
from tests.report.test_texts import report


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    run = report()
    (tmp_path / run.run).mkdir()
    (tmp_path / run.run / "report.json").write_bytes(outputs.document(run))
    return tmp_path


def run_report(capsys: pytest.CaptureFixture[str], logs: Path, *argv: str) -> tuple[int, str, str]:
    code = cli._guarded(["report", *argv, "--set", f"logs={logs}"])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("argv", "begins"),
    [
        ([], "NOT VERIFIED (exit code 1)\n"),
        (["--format", "markdown"], "# Not verified (exit code 1)\n"),
        (["--format", "junit"], "<?xml "),
        (["--format", "prometheus"], "# HELP vllm_ready_verified"),
        (["--format", "html"], "<!doctype html>"),
        (["--json"], "{\n"),
        (["--format", "json"], "{\n"),
    ],
)
def test_the_newest_run_in_every_format(
    capsys: pytest.CaptureFixture[str], logs: Path, argv: list[str], begins: str
) -> None:
    code, out, err = run_report(capsys, logs, *argv)
    assert (code, err) == (0, ""), "showing a run succeeds whatever its verdict"
    assert out.startswith(begins)


def test_json_is_the_stored_document(capsys: pytest.CaptureFixture[str], logs: Path) -> None:
    _, out, _ = run_report(capsys, logs, "--json", report().run[:10])
    assert json.loads(out) == msgspec.json.decode(outputs.document(report()))


def test_a_report_is_written_to_a_file(
    capsys: pytest.CaptureFixture[str], logs: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert run_report(capsys, logs, "--format", "html", "-o", str(page))[:2] == (0, "")
    assert page.read_text().startswith("<!doctype html>")
    code, _, err = run_report(capsys, logs, "-o", str(tmp_path / "none" / "page"))
    assert (code, "does not exist" in err) == (2, True)


def test_two_formats_at_once_are_refused(capsys: pytest.CaptureFixture[str], logs: Path) -> None:
    assert run_report(capsys, logs, "--json", "--format", "html")[0] == 2


def wish(logs: Path) -> Session:
    return Session(
        settings=Settings(tasks=str(logs / "run" / "tasks")),
        prefix=str(logs / "envs"),
        logs=str(logs / "run"),
        run="run",
        say=print,
    )


def test_a_run_writes_every_format(tmp_path: Path) -> None:
    outputs.everywhere(msgspec.structs.replace(report(), steps=()), wish(tmp_path))
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "report.json",
        "tasks",
        *formats.BESIDE,
    }
    assert {path.name for path in tmp_path.iterdir()} == {"run", "summary.txt", "metrics.prom"}
    assert "vllm_ready_verified 0\n" in (tmp_path / "metrics.prom").read_text()


@pytest.mark.parametrize(
    "name", ["report.json", "report.html", "summary.txt", "metrics.prom", "README.md"]
)
def test_a_full_disk_for_one_file_blocks_no_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    really = files.write

    def full(path: Path, *given: Any, **options: Any) -> None:
        if path.name == name:
            raise NotWritable("cannot be written: no space", where=str(path)) from OSError(
                errno.ENOSPC, ""
            )
        really(path, *given, **options)

    monkeypatch.setattr(files, "write", full)
    outputs.everywhere(msgspec.structs.replace(report(), steps=()), wish(tmp_path))
    assert (
        f"{name}: cannot be written: no space"
        in capsys.readouterr().err.partition("incomplete: ")[2]
    )
    there = {path.name for path in tmp_path.rglob("*")}
    assert {
        "report.json",
        *formats.BESIDE,
        "summary.txt",
        "metrics.prom",
        "README.md",
        "40-torch.md",
    } - there == {name}


@pytest.mark.parametrize("place", ["run/tasks", "summary.txt", "metrics.prom"])
def test_an_occupied_path_blocks_no_other_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place: str
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    if place == "run/tasks":
        (tmp_path / place).write_text("a file")
    else:
        (tmp_path / place).mkdir()
    outputs.everywhere(msgspec.structs.replace(report(), steps=()), wish(tmp_path))
    text = capsys.readouterr().err
    assert text.count("incomplete") == 1
    assert str(tmp_path / place) in text
    written = {
        path.name for path in tmp_path.rglob("*") if path.is_file() and path != tmp_path / place
    }
    assert {"report.json", *formats.BESIDE} <= written
    assert len({"summary.txt", "metrics.prom", "README.md"} & written) == 2


def test_a_format_that_fails_blocks_no_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_TEMPLATES", tmp_path / "none")
    outputs.everywhere(msgspec.structs.replace(report(), steps=()), wish(tmp_path))
    assert "cannot be written in every format" in capsys.readouterr().err
    assert (tmp_path / "run" / "junit.xml").exists()
    assert (tmp_path / "metrics.prom").exists()


def test_a_failing_summary_does_not_fail_the_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_text, "_MARKS", {})
    outputs.everywhere(msgspec.structs.replace(report(), steps=()), wish(tmp_path))
    assert "cannot be written in every format" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "report.json",
        "tasks",
        *formats.BESIDE,
    }


def test_a_big_report_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(outputs.document(big_report()))
    assert cli._guarded(["report", str(path), "--quiet", "-o", str(tmp_path / "r")]) == 0
    assert "other checks: 192 pass" in (tmp_path / "r").read_text()


def test_a_shared_report_names_no_user_or_host(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = {"50-vllm": ("curl https://me:hunter2@mirror.corp.example/x /home/someone/x",)}
    files.write(
        logs / "20261121T000000Z-0001" / "report.json",
        outputs.document(msgspec.structs.replace(report(), commands=commands)),
    )
    for name in ("json", "markdown", "html"):
        assert (
            cli.run(["report", "20261121", "--share", "--format", name, "--set", f"logs={logs}"])
            == 0
        )
        text = capsys.readouterr().out
        assert "curl https://" in text
        assert not [word for word in ("hunter2", "mirror.corp", "someone") if word in text]
