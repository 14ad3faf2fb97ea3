"""`python -m checks`: the same child process and result files, run by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from checks.__main__ import _capabilities, _is_expected, _visible
from provision.engine import launch_checks
from provision.report import read
from provision.report._model import Report
from tests.checks.environments import SmallEnvironment, checks_folder


def by_hand(environment: SmallEnvironment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [environment.python, "-m", "checks", *arguments],
        cwd=launch_checks.CHECKS.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def environment(tmp_path: Path) -> SmallEnvironment:
    made = SmallEnvironment(tmp_path / "env")
    made.install("alpha", "1.0", {"alpha.py": "one = 1\n"})
    return made


def test_list_and_run(environment: SmallEnvironment, tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    listed = by_hand(environment, "list", "--json", str(answer))
    assert listed.returncode == 0, listed.stderr
    assert [check["name"] for check in json.loads(answer.read_text())] == [
        c.name for c in launch_checks.discover()
    ]
    done = by_hand(
        environment, "run", "record_whole", "distributions_as_locked", "--json", str(answer)
    )
    assert done.returncode == 5, "what was asked for by name and skipped is not proved"
    report = msgspec.json.decode(answer.read_bytes(), type=Report)
    assert (report.verdict, report.exit_code) == ("undecided", 5)
    outcomes = {result.name: result.outcome for result in report.checks}
    assert outcomes == {"record_whole": "pass", "distributions_as_locked": "skip"}
    assert by_hand(environment, "run", "record_whole").returncode == 0
    assert by_hand(environment, "run").returncode == 5, "there is no vLLM here"


def test_a_failure_shows_in_the_status(environment: SmallEnvironment, tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    context.write_text(json.dumps({"pins": {"alpha": "2.0"}}))
    done = by_hand(environment, "run", "distributions_as_locked", "--context", str(context))
    assert done.returncode == 1, done.stderr
    assert "alpha 2.0 became 1.0" in done.stdout
    assert by_hand(environment, "run", "no_such_check").returncode == 2


# What a check claims of two GPUs that are used, and what the run comes to.
OF_EACH = {
    "return Verdict(True, '', figures=(copy('GPU 0'), copy('GPU 1')), gpus=('0', '1'))": "verified",
    "return Verdict(True, '', figures=(copy('GPU 0'),), gpus=('0',))": "undecided",
    "return Verdict(True, '', gpus=('0', '1', '2'))": "undecided",
    "return Verdict(True, '', {'beyond': {'1': 'too old'}}, gpus=('0',))": "verified",
    "return Verdict(True, '', {'beyond': {'0': 'too old', '1': 'too old'}})": "undecided",
    "return Verdict(True, '', figures=(copy('GPU 0'), copy('GPU 0')), gpus=('0', '1'))": "undecided",
    "return Verdict(False, '', figures=(copy('GPU 0'),))": "not verified",
}


@pytest.mark.parametrize("body", OF_EACH)
def test_its_report_can_be_read_and_has_the_same_verdict(
    environment: SmallEnvironment, tmp_path: Path, body: str
) -> None:
    checks = checks_folder(tmp_path / "checks", one=body)
    text = (checks / "one.py").read_text().replace("body=body)", "body=body, every_gpu=True)")
    copy = "def copy(on): return Figure('copy', 2.0, 'GB/s', 'higher', {'on': on}, (1.0, 2.0, 3.0), 3, 'timed')\n"
    (checks / "one.py").write_text(
        text.replace("weight, needs", f"from ._contract import Figure\n{copy}weight, needs", 1)
    )
    (tmp_path / "context.json").write_text(json.dumps({"gpus": ["0", "1"]}))
    argv = [
        environment.python,
        "-m",
        "checks",
        "run",
        "one",
        "--json",
        "report.json",
        "--context",
        "context.json",
    ]
    subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False)
    document = read.report((tmp_path / "report.json").read_bytes(), "report.json")
    assert document.verdict == OF_EACH[body]
    concluded = document.conclusion
    assert (concluded.verdict, concluded.exit_code) == (document.verdict, document.exit_code), (
        concluded.against
    )
    if document.checks[0].outcome == "pass" and document.figures:
        assert (
            document.figures[0].check,
            document.figures[0].samples,
            document.figures[0].method,
        ) == (
            "one",
            (1.0, 2.0, 3.0),
            "timed",
        )


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"gpus": 3}', '{"no_such": 1}'])
def test_an_invalid_context_is_refused(
    environment: SmallEnvironment, tmp_path: Path, content: str | None
) -> None:
    context = tmp_path / "context.json"
    if content:
        context.write_text(content)
    done = by_hand(environment, "run", "record_whole", "--context", str(context))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_tried(
    environment: SmallEnvironment, tmp_path: Path
) -> None:
    done = by_hand(
        environment, "run", "record_whole", "--json", str(tmp_path / "no" / "report.json")
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such file or directory" in done.stderr


def test_a_reader_may_go_away(environment: SmallEnvironment) -> None:
    for words in (["list"], ["run", "record_whole"]):
        read, write = os.pipe()
        os.close(read)
        argv = [environment.python, "-m", "checks", *words]
        done = subprocess.run(
            argv, cwd=launch_checks.CHECKS.parent, stdout=write, stderr=subprocess.PIPE, check=False
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("shown", "used"),
    [
        (None, ["0", "1"]),
        ("", []),
        ("1", ["1"]),
        ("GPU-8932f937", ["GPU-8932f937"]),
        *((shown, None) for shown in ("7", "1, 7", "00", "all", "-1")),
    ],
)
def test_gpus_are_the_visible_ones_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str | None, used: list[str] | None
) -> None:
    """A container has nvidia-smi of its own; /proc shows it the GPUs of the whole host."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 9.0; echo 7.5; echo 'a warning'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert _capabilities() == {"0": (9, 0), "1": (7, 5)}
    if used is None:
        with pytest.raises(
            ValueError, match=r"CUDA_VISIBLE_DEVICES=.* is no GPU of this host; there are: 0, 1"
        ):
            _visible(_capabilities())
        return
    assert _visible(_capabilities()) == used
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert _visible({}) == [], "where none is, that is for the checks to say"


def test_a_check_beyond_every_gpu_here_is_not_expected() -> None:
    context = {"profile": "cuda", "gpus": ["0"]}
    check = {"needs": {"gpus": 1, "capability": [8, 0]}}
    assert _is_expected(check, context, {"0": (8, 6)})
    assert not _is_expected(check, context, {"0": (7, 5)})
    assert _is_expected(check, context, {"0": None}), "where nobody tells, it is to be tried"
    assert not _is_expected({"needs": {"tools": ["no-such-compiler"]}}, context, {})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_no_process_and_no_file(
    environment: SmallEnvironment, tmp_path: Path, number: signal.Signals
) -> None:
    note, work = tmp_path / "pids", tmp_path / "work"
    work.mkdir()
    body = f"""
        child = subprocess.Popen(['sleep', '300'], start_new_session=True)
        Path({str(note)!r}).write_text(f'{{os.getpid()}} {{child.pid}}\\n')
        time.sleep(300)
    """
    folder = checks_folder(tmp_path / "checks", one=body).parent
    inside = {**os.environ, "TMPDIR": str(work)}
    argv = [environment.python, "-m", "checks", "run"]
    with subprocess.Popen(
        argv, cwd=folder, env=inside, stderr=subprocess.PIPE, text=True
    ) as running:
        until = time.monotonic() + 30
        while not (note.exists() and note.read_text().endswith("\n")) and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(number)
        shown = running.communicate()[1]
    assert (running.returncode, shown) == (130 if number == signal.SIGINT else -number, "")
    pids = note.read_text().split()
    until = time.monotonic() + 10
    while time.monotonic() < until and (
        any(Path("/proc", pid).exists() for pid in pids) or any(work.iterdir())
    ):
        time.sleep(0.05)
    assert not [pid for pid in pids if Path("/proc", pid).exists()]
    assert not list(work.iterdir())
