"""The launcher of checks: whatever a child does, it ends in the right outcome, and nothing of it goes on running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.engine import launch_checks
from provision.engine.launch_checks import CheckDone, CheckResult, CheckStarted, Context
from tests.checks.environments import Environment, checks_folder

PYTHON = sys.executable
CPU = Context(profile="cpu")


def try_one(folder: Path, body: str, name: str = "one", context: Context = CPU, python: str = PYTHON) -> CheckResult:
    checks = checks_folder(folder / "checks", **{name: body})
    (result,) = launch_checks.run(python, launch_checks.discover(checks), context, folder / "logs", folder=checks)
    return result


@pytest.mark.parametrize(
    ("body", "outcome", "summary"),
    [
        ("return Verdict(True, 'fine', {'n': 1})", "pass", "fine"),
        ("return Verdict(False, 'broken')", "fail", "broken"),
        ("raise ValueError('no such thing')", "error", "ValueError: no such thing"),
        ("sys.exit(0)", "error", "SystemExit: 0"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "error", "was killed by SIGSEGV and left no verdict"),
        ("ctypes.string_at(0)", "error", "was killed by SIGSEGV and left no verdict"),
        ("os.abort()", "error", "was killed by SIGABRT and left no verdict"),
        ("os._exit(0)", "error", "ended with status 0 and left no verdict"),
        ("return True", "error", "TypeError: one claimed True, which is no Verdict"),
        ("return Verdict(True, 'x', {'f': object()})", "error", "TypeError: Object of type object is not JSON"),
        ('print(\'{"outcome": "pass", "summary": "stdout"}\'); os._exit(0)', "error", "left no verdict"),
        (
            "Path(context.scratch, '../verdict.json').write_text('{\"outcome\": \"pa'); os._exit(0)",
            "error",
            "left a verdict that cannot be read",
        ),
        ("Path(context.scratch, '../verdict.json').write_text('[]'); os._exit(0)", "error", "that cannot be read"),
        ("os.kill(os.getppid(), signal.SIGKILL); time.sleep(20)", "error", "was ended by SIGKILL"),
    ],
)
def test_every_end_has_its_outcome(tmp_path: Path, body: str, outcome: str, summary: str) -> None:
    result = try_one(tmp_path, body)
    assert result.outcome == outcome
    assert summary in result.summary


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(60)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "while True: pass",
    ],
)
def test_a_hang_is_an_error_at_the_deadline(tmp_path: Path, body: str) -> None:
    began = time.monotonic()
    result = try_one(tmp_path, body, "one_slow")
    assert (result.outcome, result.summary) == ("error", "no verdict in 0.6 s")
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("how", ["", ", start_new_session=True"])
@pytest.mark.parametrize("end", ["return Verdict(True, 'fine')", "os._exit(3)", "time.sleep(60)"])
def test_nothing_goes_on_running(tmp_path: Path, how: str, end: str) -> None:
    note = tmp_path / "pid"
    body = f"""
        child = subprocess.Popen(['sleep', '300'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL{how})
        Path({str(note)!r}).write_text(str(child.pid))
        {end}
    """
    result = try_one(tmp_path, body, "one_slow")
    assert result.outcome == ("pass" if "True" in end else "error")
    assert result.evidence["left_running"] == ["sleep"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_killed_launcher_leaves_nothing(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    body = f"""
        child = subprocess.Popen(['sleep', '300'], start_new_session=True)
        Path({str(note)!r}).write_text(f'{{os.getpid()}} {{child.pid}}\\n')
        time.sleep(300)
    """
    checks = checks_folder(tmp_path / "checks", one=body)
    code = f"""if True:
        from pathlib import Path
        from provision.engine import launch_checks as l
        folder = Path({str(checks)!r})
        l.run({PYTHON!r}, l.discover(folder), l.Context(profile="cpu"), folder.parent / "logs", folder=folder)
    """
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "TMPDIR": str(work)}
    launcher = subprocess.Popen([PYTHON, "-c", code], cwd=launch_checks.CHECKS.parent, env=environment)
    until = time.monotonic() + 30
    while not (note.exists() and note.read_text().endswith("\n")) and time.monotonic() < until:
        time.sleep(0.05)
    launcher.kill()
    launcher.wait()
    pids = [int(word) for word in note.read_text().split()]
    until = time.monotonic() + 10  # well before the deadline of the check
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    while any(work.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not list(work.iterdir())


def test_one_that_dies_takes_no_other_with_it(tmp_path: Path) -> None:
    checks = checks_folder(
        tmp_path / "checks", a="os.abort()", b="return Verdict(True, 'fine')", c_should="return Verdict(False, 'meh')"
    )
    (checks / "d.py").write_text("import no_such_module\n")
    (checks / "e.py").write_text("CHECK = 1\n")
    heard: list[CheckStarted | CheckDone] = []
    found = launch_checks.discover(checks)
    results = launch_checks.run(PYTHON, found, CPU, tmp_path / "logs", heard.append, folder=checks)
    assert [(result.name, result.outcome) for result in results] == [
        ("a", "error"),
        ("b", "pass"),
        ("c_should", "warn"),
        ("d", "error"),
        ("e", "error"),
    ]
    assert results[3].summary == "ModuleNotFoundError: No module named 'no_such_module'"
    assert [type(event) for event in heard] == [CheckStarted, CheckDone] * 5
    assert not list(checks.rglob("*.pyc")), "children leave no bytecode"


def test_needs_are_skipped_with_their_reason(tmp_path: Path) -> None:
    def result(needs: str, context: Context) -> tuple[str, str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        checks = checks_folder(folder / "checks", one="return Verdict(True, 'fine')")
        text = (checks / "one.py").read_text().replace("'must', Needs()", f"'must', {needs}")
        (checks / "one.py").write_text(text)
        (found,) = launch_checks.run(PYTHON, launch_checks.discover(checks), context, folder / "logs", folder=checks)
        return found.outcome, found.summary

    cuda = Context(profile="cuda")
    assert result("Needs(packages=('json', 'no_such'))", CPU) == ("skip", "needs no_such in this environment")
    assert result("Needs(gpus=2)", cuda) == ("skip", "needs 2 GPUs; this host has none")
    assert result("Needs(gpus=1)", CPU) == ("pass", "fine")
    assert result("Needs(gpus=1)", Context(profile="cuda", gpus=("0",)))[0] == "pass"
    assert result("Needs(profile='cuda')", CPU)[1] == "is about vLLM for cuda; this environment is for cpu"
    assert result("Needs(lock=True)", CPU) == ("skip", "needs the lock that this environment was made from")


def test_foreign_code_does_not_reach_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(tmp_path / "env")
    environment.install("checks", "1", {"checks/__init__.py": "raise SystemExit('foreign')"})
    trap = tmp_path / "trap"
    (trap / "checks").mkdir(parents=True)
    (trap / "json.py").write_text("raise SystemExit('hostile')")
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, str(trap))
    monkeypatch.setenv("LD_PRELOAD", str(trap / "json.py"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.chdir(trap)
    body = """
        hostile = sorted({'PYTHONPATH', 'LD_PRELOAD', 'HF_TOKEN'} & os.environ.keys())
        return Verdict(not hostile and sys.flags.isolated == 1, sys.executable, {'home': os.environ['HOME'], 'cwd': os.getcwd()})
    """
    result = try_one(tmp_path, body, python=environment.python)
    assert (result.outcome, result.summary) == ("pass", environment.python)
    assert not Path(result.evidence["home"]).exists(), "the scratch folder goes away"
    assert "hf_secret" not in (tmp_path / "logs" / "check-one.log").read_text()


def test_the_log_is_private_in_order_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_checks, "_LOG_LIMIT", 5000)
    body = "print('out', flush=True); os.write(2, b'err\\n')\nfor n in range(9999): print('line', n)\nos.abort()"
    assert try_one(tmp_path, body).outcome == "error"
    log = tmp_path / "logs" / "check-one.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert "\nout\nerr\nline 0\n" in log.read_text()
    assert "(the rest of the output is left out)" in log.read_text()
    assert log.stat().st_size < 20_000


def test_without_a_python_every_check_is_an_error(tmp_path: Path) -> None:
    result = try_one(tmp_path, "return Verdict(True, 'fine')", python=str(tmp_path / "no" / "python"))
    assert result.outcome == "error"
    assert "was not found" in result.summary


def test_the_verdict_over_all() -> None:
    def result(name: str, outcome: str) -> CheckResult:
        return CheckResult(name=name, outcome=outcome)  # type: ignore[arg-type]  # parametrized by hand below

    good = [result("a", "pass"), result("b", "warn")]
    assert launch_checks.verdict(good, ["a", "b"]) == ("verified", 0)
    assert launch_checks.verdict(good, ["a", "b", "c"]) == ("undecided", 5), "skip is never pass, nor is absence"
    assert launch_checks.verdict([*good, result("c", "skip")], ["a", "b"]) == ("verified", 0)
    assert launch_checks.verdict([*good, result("c", "skip")], ["a", "c"]) == ("undecided", 5)
    assert launch_checks.verdict([*good, result("c", "error")], ["a", "c"]) == ("undecided", 5)
    assert launch_checks.verdict([result("a", "fail"), result("b", "skip")], ["a", "b"]) == ("not verified", 1)


def test_what_is_chosen_for_a_profile() -> None:
    found = launch_checks.discover()
    names = {check.name for check in launch_checks.chosen(found, "quick")}
    passive = {check.name: check for check in launch_checks.chosen(found, "passive")}
    assert {check.profile for check in passive.values()} == {"passive"}
    assert {"distributions_as_locked", "nvml_answers"} <= passive.keys()
    assert names >= {"record_whole", "extensions_import", "vllm_generates", "vllm_serves"}
    assert not [check.name for check in found if check.problem or not check.proves or check.deadline_s <= 0]
