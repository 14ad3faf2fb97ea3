"""Checks run in isolation: every end has its outcome, and no process of a check is left running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.engine import check_process, launch_checks
from provision.engine.launch_checks import CheckContext, CheckDescription
from provision.errors import NotWritable
from provision.events import CheckDone, CheckStarted
from provision.results import CheckResult
from tests.checks.environments import SmallEnvironment, checks_folder

PYTHON = sys.executable
CPU = CheckContext(profile="cpu")


def try_one(
    folder: Path, body: str, name: str = "one", context: CheckContext = CPU, python: str = PYTHON
) -> CheckResult:
    checks = checks_folder(folder / "checks", **{name: body})
    (result,) = launch_checks.run(
        python, launch_checks.discover(checks), context, folder / "logs", folder=checks
    ).checks
    return result


CLAIMS = (
    "Path(context.scratch, '../claim.json').write_text(json.dumps(dict(outcome='{}', summary='')))"
)


@pytest.mark.parametrize(
    ("body", "outcome", "summary"),
    [
        ("return Verdict(True, 'fine', {'n': 1})", "pass", "fine"),
        ("return Verdict(False, 'broken')", "fail", "broken"),
        ("raise ValueError('no such thing')", "error", "ValueError: no such thing"),
        ("sys.exit(0)", "error", "SystemExit: 0"),
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "error",
            "was killed by SIGSEGV and left no verdict",
        ),
        ("ctypes.string_at(0)", "error", "was killed by SIGSEGV and left no verdict"),
        ("os.abort()", "error", "was killed by SIGABRT and left no verdict"),
        ("os._exit(0)", "error", "ended with status 0 and left no verdict"),
        ("return True", "error", "TypeError: one claimed True, which is no Verdict"),
        (
            "return Verdict(True, 'x', {'f': object()})",
            "error",
            "TypeError: Object of type object is not JSON",
        ),
        (
            'print(\'{"outcome": "pass", "summary": "stdout"}\'); os._exit(0)',
            "error",
            "left no verdict",
        ),
        (
            "Path(context.scratch, '../claim.json').write_text('{\"outcome\": \"pa'); os._exit(0)",
            "error",
            "left a verdict that cannot be read",
        ),
        (
            "Path(context.scratch, '../claim.json').write_text('[]'); os._exit(0)",
            "error",
            "that cannot be read",
        ),
        (f"{CLAIMS.format('passed')}; os._exit(0)", "error", "left a verdict that cannot be read"),
        (
            f"{CLAIMS.format('pass')}; os.abort()",
            "error",
            "was killed by SIGABRT, and had claimed to pass",
        ),
        (
            "if not os.fork(): return Verdict(True, 'fine')\nos.wait(); os.abort()",
            "error",
            "and left no verdict",
        ),
        ("return Verdict(False, 'no ' + os.fsdecode(b'caf\\xe9'))", "fail", "no caf?"),
        ("Path(context.scratch, '../../requests.json').read_text()", "error", "FileNotFoundError"),
        ("os.write(1, b'x' * (1 << 20)); return Verdict(True, 'fine')", "pass", "fine"),
        ("os.kill(os.getppid(), signal.SIGKILL); time.sleep(20)", "error", "was ended by SIGKILL"),
        ("os.kill(os.getppid(), signal.SIGTERM); time.sleep(20)", "error", "was ended by SIGTERM"),
    ],
)
def test_every_way_to_end_has_its_outcome(
    tmp_path: Path, body: str, outcome: str, summary: str
) -> None:
    result = try_one(tmp_path, body)
    assert result.outcome == outcome
    assert summary in result.summary


@pytest.mark.parametrize(
    ("end", "named"),
    [
        ("return Verdict(False, 'no')", True),
        ("os._exit(3)", True),
        ("os.kill(os.getppid(), signal.SIGKILL); time.sleep(20)", True),
        ("return Verdict(True, 'fine')", False),
    ],
)
def test_what_does_not_pass_names_its_log_and_the_lines_that_tell_why(
    tmp_path: Path, end: str, named: bool
) -> None:
    body = f"print('OSError: disk on fire', flush=True); print('bye', flush=True); {end}"
    result = try_one(tmp_path, body)
    assert result.lines == (("OSError: disk on fire",) if named else ())
    assert Path(result.log).is_file() is named


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
def test_processes_left_by_a_check_are_ended(tmp_path: Path, how: str, end: str) -> None:
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


def test_a_killed_launcher_leaves_no_process_and_no_file(tmp_path: Path) -> None:
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
        l.run({PYTHON!r}, l.discover(folder), l.CheckContext(profile="cpu"), folder.parent / "logs", folder=folder)
    """
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "TMPDIR": str(work)}
    launcher = subprocess.Popen(
        [PYTHON, "-c", code], cwd=launch_checks.CHECKS.parent, env=environment
    )
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


def test_a_stopped_child_process_delays_the_other_checks_only_briefly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_process, "_SPARE_S", 1.0)
    checks = checks_folder(
        tmp_path / "checks",
        a_slow="os.kill(os.getppid(), signal.SIGSTOP); time.sleep(600)",
        b="return Verdict(True, 'fine')",
    )
    began = time.monotonic()
    results = launch_checks.run(
        PYTHON, launch_checks.discover(checks), CPU, tmp_path / "logs", folder=checks
    ).checks
    assert [(result.name, result.outcome) for result in results] == [
        ("a_slow", "error"),
        ("b", "pass"),
    ]
    assert "did not end within" in results[0].summary
    assert time.monotonic() - began < 60, "not the sum of all deadlines"


def test_a_check_that_crashes_does_not_affect_the_others(tmp_path: Path) -> None:
    checks = checks_folder(
        tmp_path / "checks",
        a="os.abort()",
        b="return Verdict(True, 'fine')",
        c_should="return Verdict(False, 'meh')",
    )
    (checks / "d.py").write_text("import no_such_module\n")
    (checks / "e.py").write_text("CHECK = 1\n")
    events: list[CheckStarted | CheckDone] = []
    discovered = launch_checks.discover(checks)
    results = launch_checks.run(
        PYTHON, discovered, CPU, tmp_path / "logs", events.append, folder=checks
    ).checks
    assert [(result.name, result.outcome) for result in results] == [
        ("a", "error"),
        ("b", "pass"),
        ("c_should", "warn"),
        ("d", "error"),
        ("e", "error"),
    ]
    assert results[3].summary == "ModuleNotFoundError: No module named 'no_such_module'"
    assert [type(event) for event in events] == [CheckStarted, CheckDone] * 5
    assert not list(checks.rglob("*.pyc")), "child processes write no bytecode"


def all_of(
    folder: Path,
    environment: SmallEnvironment,
    needs: str = "Needs(packages=('torch',))",
    profile: str = "quick",
    **bodies: str,
) -> dict[str, CheckResult]:
    """Run checks that all need torch, together."""
    checks = checks_folder(folder / "checks", **bodies)
    for name in bodies:
        text = (checks / f"{name}.py").read_text().replace("'must', Needs()", f"'must', {needs}")
        (checks / f"{name}.py").write_text(text.replace("'quick'", repr(profile)))
    discovered = launch_checks.discover(checks)
    results = launch_checks.run(
        environment.python, discovered, CPU, folder / "logs", folder=checks
    ).checks
    return {result.name: result for result in results}


COUNTING = """
    import signal
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import pathlib, types
    with (pathlib.Path(__file__).parents[1] / "imports").open("a") as note:
        note.write("x")
    cuda = types.SimpleNamespace(is_initialized=lambda: {touched})
"""


def imports(environment: SmallEnvironment) -> int:
    return len((environment.site / "imports").read_text())


def torch_in(environment: SmallEnvironment, code: str) -> None:
    environment.install("torch", "1", {"torch/__init__.py": code})


FINE = "import torch; return Verdict(True, str(os.getppid()))"


def test_torch_is_imported_once_for_all_checks(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    torch_in(environment, COUNTING.format(touched=False))
    results = all_of(tmp_path, environment, a=FINE, b="os.abort()", c=FINE, d="sys.exit(3)", e=FINE)
    assert {name: result.outcome for name, result in results.items()} == {
        "a": "pass",
        "b": "error",
        "c": "pass",
        "d": "error",
        "e": "pass",
    }
    assert results["b"].summary == "was killed by SIGABRT and left no verdict"
    assert imports(environment) == 1
    assert len({results[name].summary for name in "ace"}) == 1, "all forked by one process"


def test_a_check_that_hangs_does_not_affect_the_others(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    torch_in(environment, COUNTING.format(touched=False))
    results = all_of(tmp_path, environment, a=FINE, b_slow="time.sleep(60)", c=FINE, d=FINE)
    assert [result.outcome for result in results.values()] == ["pass", "error", "pass", "pass"]
    assert imports(environment) == 1


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"[]", b"[" * 100_000, b'{"result": {"name": "a", "outcome": "passed"}}'),
        *(
            b'{"result": {"name": "a"}}',
            b'{"result": {"name": "a", "outcome": "pass"}, "figures": 3}',
        ),
        b'{"result": {"name": "a", "outcome": "pass"}, "figures": [{"name": "n", "value": 1}]}',
    ],
)
def test_a_result_that_cannot_be_read_is_an_error(document: bytes) -> None:
    check = CheckDescription(name="a", step=40, weight="should", proves="p", every_gpu=True)
    result = launch_checks._read(check, document).result
    assert result.outcome == "error"
    assert "left a result that cannot be read" in result.summary
    assert (result.name, result.step, result.weight) == ("a", 40, "should")
    assert (result.proves, result.every_gpu) == ("p", True)


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(NotWritable, match="the log cannot be written"):
        try_one(tmp_path, "return Verdict(True, 'fine')")


def test_passive_checks_import_nothing(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    torch_in(environment, COUNTING.format(touched=False))
    results = all_of(
        tmp_path, environment, profile="passive", a="return Verdict('torch' not in sys.modules, '')"
    )
    assert results["a"].outcome == "pass"
    assert not (environment.site / "imports").exists()


def test_a_torch_that_touches_the_gpu_on_import_is_not_forked(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    torch_in(environment, COUNTING.format(touched=True))
    results = all_of(tmp_path, environment, a=FINE, b=FINE)
    assert [result.outcome for result in results.values()] == ["pass", "pass"]
    assert imports(environment) == 3, "once for all without success, then by each check"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os.abort()", "was killed by SIGABRT and left no verdict"),
        ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV and left no verdict"),
        ("import os; os._exit(0)", "ended with status 0 and left no verdict"),
        ("raise ImportError('undefined symbol: _ZN2at')", "ImportError: undefined symbol: _ZN2at"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
    ],
)
def test_a_torch_that_crashes_on_import_is_reported_by_each_check(
    tmp_path: Path, code: str, says: str
) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    torch_in(environment, code)
    results = all_of(
        tmp_path, environment, a=FINE, b="return Verdict(True, 'does not import it')", c=FINE
    )
    assert [(result.outcome, result.summary) for result in results.values()] == [
        ("error", says),
        ("pass", "does not import it"),
        ("error", says),
    ]


def test_a_torch_whose_import_hangs(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    torch_in(environment, "import time; time.sleep(300)")
    checks = checks_folder(tmp_path / "checks", a_slow=FINE, b="return Verdict(True, 'fine')")
    preload = checks / "_preload.py"
    replaced = preload.read_text().replace("_IMPORT_LIMIT_S = 300.0", "_IMPORT_LIMIT_S = 0.5")
    assert replaced != preload.read_text()
    preload.write_text(replaced)
    text = (
        (checks / "a_slow.py")
        .read_text()
        .replace("'must', Needs()", "'must', Needs(packages=('torch',))")
    )
    (checks / "a_slow.py").write_text(text)
    results = launch_checks.run(
        environment.python, launch_checks.discover(checks), CPU, tmp_path / "logs", folder=checks
    ).checks
    assert [(result.name, result.outcome, result.summary) for result in results] == [
        ("b", "pass", "fine"),
        ("a_slow", "error", "no verdict in 0.6 s"),
    ]


def test_a_check_that_kills_its_parent_does_not_affect_the_others(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    torch_in(environment, COUNTING.format(touched=False))
    kills = "os.kill(os.getppid(), signal.SIGKILL); time.sleep(20)"
    results = all_of(tmp_path, environment, a=FINE, b=kills, c=FINE)
    assert [result.outcome for result in results.values()] == ["pass", "error", "pass"]
    cold = all_of(
        tmp_path / "cold", environment, "Needs()", a="return Verdict(True, '')", b=kills, c=FINE
    )
    assert [result.outcome for result in cold.values()] == ["pass", "error", "pass"]
    assert "SIGKILL" in cold["b"].summary


def test_no_process_is_left_when_a_check_kills_any_of_its_parents(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    torch_in(environment, COUNTING.format(touched=False))
    note = tmp_path / "pids"
    body = f"""
        child = subprocess.Popen(['sleep', '300'], start_new_session=True)
        with Path({str(note)!r}).open('a') as file:
            print(child.pid, file=file)
        above = os.getpid()
        for _ in range({{}}):
            above = int(Path(f'/proc/{{{{above}}}}/stat').read_text().split()[3])
        os.kill(above, signal.SIGKILL)
        time.sleep(60)
    """
    # The process that imports torch, the one that starts the checks, and the outermost one.
    results = all_of(
        tmp_path, environment, a=body.format(1), b=body.format(2), c=body.format(3), d=FINE
    )
    assert [result.outcome for result in results.values()] == ["error", "error", "error", "pass"]
    pids = note.read_text().split()
    assert len(pids) == 3
    assert not [pid for pid in pids if Path("/proc", pid).exists()]


def test_a_check_that_uses_too_much_memory_is_ended(tmp_path: Path) -> None:
    checks = checks_folder(
        tmp_path / "checks",
        a="kept = [bytearray(os.urandom(1 << 20)) * 64 for _ in range(8)]; time.sleep(60)",
        b="os.fork() and time.sleep(60); kept = bytearray(os.urandom(1 << 20)) * 512; time.sleep(60)",
        c="os.fork() or (os.fork() and os._exit(0)); kept = bytearray(os.urandom(1 << 20)) * 512; time.sleep(60)",
        d="kept = bytearray(os.urandom(1 << 20)) * 200; os.fork() and os.fork(); time.sleep(1); return Verdict(True, '')",
    )
    watchdog = checks / "_watchdog.py"
    limited = watchdog.read_text().replace("int(_memory.free() * _SHARE)", "300_000_000")
    assert limited != watchdog.read_text()
    watchdog.write_text(limited)
    results = launch_checks.run(
        PYTHON, launch_checks.discover(checks), CPU, tmp_path / "logs", folder=checks
    ).checks
    assert [result.outcome for result in results] == ["error", "error", "error", "pass"], (
        "shared memory counts once"
    )
    for result in results[:3]:
        assert "of memory, and 0.3 GB was its share of what was free" in result.summary


def test_a_check_whose_needs_are_not_met_is_skipped_with_the_reason(tmp_path: Path) -> None:
    def result_of(needs: str, context: CheckContext) -> tuple[str, str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        checks = checks_folder(folder / "checks", one="return Verdict(True, 'fine')")
        text = (checks / "one.py").read_text().replace("'must', Needs()", f"'must', {needs}")
        (checks / "one.py").write_text(text)
        (result,) = launch_checks.run(
            PYTHON, launch_checks.discover(checks), context, folder / "logs", folder=checks
        ).checks
        return result.outcome, result.summary

    cuda = CheckContext(profile="cuda")
    assert result_of("Needs(packages=('json', 'no_such'))", CPU) == (
        "skip",
        "needs no_such in this environment",
    )
    assert result_of("Needs(packages=('no_such',), gpus=1)", cuda)[1].startswith("needs no_such")
    assert result_of("Needs(gpus=2)", cuda) == ("skip", "needs 2 GPUs; this host has none")
    slices = CheckContext(profile="cuda", gpus=("0", "1:0", "1:1"))
    assert result_of("Needs(gpus=2)", slices) == ("skip", "needs 2 GPUs; this host has 1")
    assert result_of("Needs(gpus=1)", CPU) == ("pass", "fine")
    assert result_of("Needs(gpus=1)", CheckContext(profile="cuda", gpus=("0",)))[0] == "pass"
    assert (
        result_of("Needs(profile='cuda')", CPU)[1]
        == "is about vLLM for cuda; this environment is for cpu"
    )
    assert result_of("Needs(lock=True)", CPU) == (
        "skip",
        "needs the lock that this environment was made from",
    )


def test_scratch_files_are_removed_before_the_next_check(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    body = "return Verdict(not list(Path(context.scratch).parents[1].glob('*/s/*')), '')"
    results = all_of(
        tmp_path, environment, "Needs()", a="Path('left').touch(); return Verdict(True, '')", b=body
    )
    assert [result.outcome for result in results.values()] == ["pass", "pass"]


def test_foreign_code_and_variables_do_not_reach_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = SmallEnvironment(tmp_path / "env")
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
    assert not Path(result.evidence["home"]).exists(), "the scratch folder is removed"
    assert "hf_secret" not in (tmp_path / "logs" / "check-one.log").read_text()


def test_nccl_variables_of_the_user_reach_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "NCCL_SOCKET_IFNAME": "eth1",
        "NCCL_IB_DISABLE": "1",
        "VLLM_USE_FLASHINFER_SAMPLER": "1",
    }
    for name, value in {**variables, "VLLM_API_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    inherited = check_process.environment_of_a_check("/home")
    assert variables.items() <= inherited.items()
    assert "VLLM_API_KEY" not in inherited


def test_the_cache_of_compiled_ptx_is_shared_by_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_CACHE_PATH", raising=False)
    assert check_process.environment_of_a_check("/home")["CUDA_CACHE_PATH"] == "/home/cuda-cache"
    monkeypatch.setenv("CUDA_CACHE_PATH", "/fast/cache")
    assert check_process.environment_of_a_check("/home")["CUDA_CACHE_PATH"] == "/fast/cache", (
        "as the user has set it"
    )


def test_the_log_is_private_in_order_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_process, "_LOG_LIMIT", 5000)
    body = "print('out', flush=True); os.write(2, b'err\\n')\nfor n in range(9999): print('line', n)\nos.abort()"
    assert try_one(tmp_path, body).outcome == "error"
    log = tmp_path / "logs" / "check-one.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert "\nout\nerr\nline 0\n" in log.read_text()
    assert "(the rest of the output is left out)" in log.read_text()
    assert log.stat().st_size < 20_000


def test_without_a_python_every_check_is_an_error(tmp_path: Path) -> None:
    result = try_one(
        tmp_path, "return Verdict(True, 'fine')", python=str(tmp_path / "no" / "python")
    )
    assert result.outcome == "error"
    assert "was not found" in result.summary


def test_a_profile_selects_its_checks() -> None:
    checks = launch_checks.discover()
    names = {check.name for check in launch_checks.select(checks, "quick")}
    passive = launch_checks.select(checks, "passive")
    assert {check.name for check in passive} >= {
        "distributions_as_locked",
        "dependencies_consistent",
        "no_xid",
    }
    assert names >= {"record_whole", "extensions_import", "vllm_generates", "vllm_serves"}
    assert not [
        check.name for check in checks if check.problem or not check.proves or check.deadline_s <= 0
    ]
