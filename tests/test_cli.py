"""The command line: verbs, exit codes, JSON documents, bad input and failures from outside."""

from __future__ import annotations

import compileall
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from provision import arguments, cli, options
from provision.catalog import rows
from provision.options import VERBS
from tests.doors.local_server import serving

pytestmark = pytest.mark.usefixtures("programs_asked_once")
ROOT = Path(__file__).parents[1]
HOSTS = ROOT / "tests" / "hosts"
H100, BARE, P100 = (str(HOSTS / f"{name}.yaml") for name in ("h100-550", "no-driver", "p100"))
LAUNCH = "import sys; sys.path.insert(0, sys.argv.pop(1)); from provision.cli import main; raise SystemExit(main())"
BREAK = """import os, sys; sys.path.insert(0, sys.argv.pop(1))
from provision import cli
from provision.verbs import plan
def broken(options):
    raise RuntimeError("no such thing in " + os.environ["HOME"] + "/secret\\nand a second line")
plan.run = broken
raise SystemExit(cli.main())"""
OFF = [
    part
    for name in ("pypi", "pytorch", "vllm", "github")
    for part in ("--set", f"sources.{name}=false")
]


def start(
    *argv: str, checkout: Path = ROOT, code: str = LAUNCH, **options: Any
) -> subprocess.Popen[str]:
    """Start the program in its own process; -B because it must not write bytecode."""
    command = [sys.executable, "-I", "-B", "-c", code, str(checkout), *argv]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **{**pipes, **options})


def ended(*argv: str, stdin: str | None = None, **options: Any) -> tuple[int, str, str]:
    """Run the program and return exit code, stdout and stderr."""
    if stdin is not None:
        options["stdin"] = subprocess.PIPE
    with start(*argv, **options) as child:
        out, err = child.communicate(stdin, timeout=60)
    return child.returncode, out, err


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the checkout to a writable folder."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        ROOT / "provision", folder / "provision", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "config.yaml", folder)
    compileall.compile_dir(folder, quiet=2)
    return folder


def at_hand(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Do the same in this process, for calls that cannot end it."""
    code = cli._guarded(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


# --- verbs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str) -> None:
    code, out, err = ended(option)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"vllm-ready \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    "argv", [["--help"], ["plan", "--help"], ["host", "-h"], ["catalog", "--help"]]
)
def test_help(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    code, out, err = at_hand(capsys, *argv)
    assert (code, err) == (0, "")
    assert out.startswith("usage: ./setup.sh")


def test_help_fits_a_terminal_of_80_columns() -> None:
    texts = [options.help_text(), *(arguments.Parser(verb).format_help() for verb in VERBS)]
    for text in texts:
        assert max(map(len, text.splitlines())) <= 80


def test_a_plan_for_a_described_host() -> None:
    code, out, err = ended("plan", "--host", H100)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split()[:2] == ["vllm", "0.32.0+cu129"]
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("host", "code", "key"),
    [(H100, 0, "packages"), (P100, 3, "unsupported"), (BARE, 3, "unsupported")],
)
def test_one_json_document_and_nothing_else(host: str, code: int, key: str) -> None:
    ended_with, out, err = ended("plan", "--json", "--host", host)
    assert (ended_with, err) == (code, "")
    document = json.loads(out)
    assert document["schema"] == "vllm-ready/plan/1"
    assert key in document


def test_a_host_from_standard_input() -> None:
    code, out, _ = ended("plan", "--quiet", "--host", "-", stdin=Path(H100).read_text())
    assert code == 0
    assert (
        out
        == "torch 2.13.0+cu129, vllm 0.32.0+cu129, flash-attn 2.8.3.post2, Python 3.12, CUDA 12.9\n"
    )


def test_settings_from_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text('vllm: "0.25.1"\n')
    argv = ["plan", "--json", "--host", H100, "--config", str(config)]
    code, out, _ = at_hand(capsys, *argv, "--prefix", "/data/envs")
    assert code == 0
    assert json.loads(out)["packages"]["vllm"]["version"].startswith("0.25.1")
    code, out, _ = at_hand(capsys, *argv, "--set", "vllm=0.31.0", "--set", "flash_attn.mode=none")
    assert json.loads(out)["packages"]["vllm"]["version"].startswith("0.31.0")
    assert json.loads(out)["packages"]["flash-attn"] is None


def test_common_options_may_stand_before_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    _, whole, _ = at_hand(
        capsys, "plan", "--json", "--host", H100, "--set", "vllm=0.31.0", "--set", "python=3.12"
    )
    for argv in (
        ["--json", "--set", "vllm=0.31.0", "plan", "--set", "python=3.12", "--host", H100],
        ["--set", "vllm=0.31.0", "--json", "--set=python=3.12", "plan", "--host", H100],
    ):
        assert at_hand(capsys, *argv) == (0, whole, "")


def test_the_default_verb() -> None:
    assert [
        arguments.parse(argv).verb for argv in ([], ["--json"], ["--yes", "--set", "keep=3"])
    ] == ["up"] * 3


def test_a_config_with_an_unknown_gpu_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("gpus: [0, 9]\n")
    code, _, err = at_hand(capsys, "plan", "--host", H100, "--config", str(config))
    assert code == 2
    assert err.startswith(f"error: {config}: gpus: there is no GPU 9")


def test_the_default_action_of_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    _, shown, _ = at_hand(capsys, "catalog", "show")
    assert at_hand(capsys, "catalog") == (0, shown, "")
    _, table, _ = at_hand(capsys, "catalog", "show", "drivers")
    assert at_hand(capsys, "--quiet", "catalog", "--set", "keep=3", "show", "drivers") == (
        0,
        table,
        "",
    )


def test_every_verb_has_its_module() -> None:
    for verb in VERBS:
        assert callable(importlib.import_module(f"provision.verbs.{verb}").run)


def test_a_disabled_source_is_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = at_hand(capsys, "plan", "--json", "--host", H100, *OFF)
    assert code == 3
    assert "PyPI" in out


def test_few_open_files_are_raised_or_refused() -> None:
    code = "from provision.cli import main; main()"
    host = [sys.executable, "-c", code, "host", "--json"]
    script = 'ulimit -Sn 20; ulimit -Hn 4096; exec "$@"'
    raised = subprocess.run(
        ["bash", "-c", script, "-", *host], capture_output=True, cwd=ROOT, check=False
    )
    assert raised.returncode == 0, raised.stderr
    assert json.loads(raised.stdout)["facts"]["machine"]
    low = """import resource, sys
from provision import cli
resource.getrlimit = lambda _: (20, 20)
def refuse(*_): raise ValueError
resource.setrlimit = refuse
sys.exit(cli._guarded(["host"]))"""
    refused = subprocess.run(
        [sys.executable, "-c", low], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert refused.returncode == 2
    assert "this shell allows 20 open files, and 256 are needed" in refused.stderr


def test_this_host_is_recorded_shown_and_planned_for(tmp_path: Path) -> None:
    written = tmp_path / "host.json"
    code, out, err = ended("host", "--json", "-o", str(written))
    assert code == 0
    assert json.loads(out) == json.loads(written.read_text())
    assert json.loads(out)["schema"] == "vllm-ready/host/1"
    assert f"recorded in {written}" in err
    assert "plan --host" in err
    code, out, err = ended("plan", "--json", "--host", str(written))
    assert code in (0, 3)
    assert json.loads(out)["schema"] == "vllm-ready/plan/1"


def test_quiet_writes_a_recording_silently(tmp_path: Path) -> None:
    assert ended("host", "--quiet", "-o", str(tmp_path / "host.json")) == (0, "", "")
    assert (tmp_path / "host.json").exists()


def test_quiet_leaves_only_problems(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = at_hand(capsys, "host", "--quiet")
    assert (code, err) == (0, "")
    assert all(
        line.startswith(("warning: ", "not usable: ", "not enough ")) for line in out.splitlines()
    )


def test_this_host_as_text() -> None:
    code, out, err = ended("host")
    assert (code, err) == (0, "")
    assert re.search(r"^Machine +(x86_64|aarch64)", out, re.MULTILINE)


def test_a_plan_for_this_host_asks_no_disabled_source() -> None:
    code, out, err = ended("plan", "--json", "--set", "profile=cpu", *OFF)
    assert (code, err) == (3, "")
    assert "unsupported" in json.loads(out)


@pytest.mark.parametrize(("what", "key"), [([], "vllm"), (["drivers"], "drivers")])
def test_the_catalogue(capsys: pytest.CaptureFixture[str], what: list[str], key: str) -> None:
    code, out, err = at_hand(capsys, "catalog", "show", "--json", *what)
    assert (code, err) == (0, "")
    assert key in json.loads(out)
    assert len(json.loads(out)) == (len(what) or len(rows.TABLES))
    code, out, _ = at_hand(capsys, "catalog", "show", *what)
    assert code == 0
    assert len(out.splitlines()) >= 4


def test_the_catalogue_against_an_empty_index() -> None:
    with serving() as server:
        code, out, err = ended(
            "catalog", "check", "--json", "--set", f"sources.pypi={server.url('/simple/')}"
        )
    assert (code, out) == (4, "")
    assert "reading the index for vllm" in err
    assert "error: " in err
    assert "Traceback" not in err


def test_the_catalogue_without_an_index(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = at_hand(capsys, "catalog", "check", "--quiet", "--set", "sources.pypi=false")
    assert code == 2
    assert "sources.pypi is false" in err


# --- wrong usage and bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says", "hint"),
    [
        (["plam"], "'plam'", "did you mean `plan`?"),
        (["zzz"], "'zzz'", "./setup.sh --help"),
        (["--quiet", "plam"], "plam", "did you mean `plan`?"),
        (["--hots", "x"], "--hots", "did you mean `--host`?"),
        (["plan", "--set", "nosuch=1"], "no setting `nosuch`", "known: vllm, exclude_vllm, torch"),
        (
            ["plan", "--host", H100, "--set", "gpus=[9]"],
            "--set gpus=[9]: gpus: there is no GPU 9",
            "",
        ),
        (["host", "-o", "/no/such/folder/x.json"], "cannot be written: No such file", "create it"),
        (["plan", "--hots", "x"], "--hots", "did you mean `--host`?"),
        (["plan", "--jso"], "--jso", "did you mean `--json`?"),
        (["plan", "x"], "x", "--help"),
        (["plan", "--host"], "--host", "./setup.sh plan --help"),
        (["catalog", "shw"], "'shw'", "did you mean `show`?"),
        (["catalog", "show", "vlm"], "there is no table `vlm`", "vllm"),
        (["catalog", "check", "vllm"], "takes no names", "catalog check"),
        (["catalog", "add"], "needs a release", "vllm==0"),
        (["catalog", "add", "vllm"], "`vllm` is not a release", "vllm==X"),
        (["catalog", "add", "numpy==1.0"], "`numpy==1.0` is not a release", "vllm==X"),
        (["catalog", "add", "vllm==1..2"], "`vllm==1..2` is not a release", "vllm==X"),
        (["plan", "--set", "vlm=1"], "no setting `vlm`", "did you mean `vllm`?"),
        (["plan", "--set", "vllm=newest"], "`newest` is not a version", "write latest"),
        (["plan", "--prefix", ""], "not a valid folder name", "/data/prefix"),
        (
            ["plan", "--config", "/no/such.yaml"],
            "/no/such.yaml: cannot be read",
            "a file that exists",
        ),
        (["plan", "--config", ""], "cannot be read", "a file that exists"),
        (
            ["plan", "--host", "/no/such.yaml"],
            "/no/such.yaml: cannot be read: No such file",
            "a file that exists",
        ),
        (["plan", "--host", ""], "cannot be read", "a file that exists"),
        (["plan", "--host", str(HOSTS)], "cannot be read: Is a directory", "a file that exists"),
        (["plan", "--host", "/proc/self/mem"], "cannot be read", "that you may read"),
        (["host", "-o", str(HOSTS)], "cannot be written", "name a file"),
        (["host", "-o", "/proc/nowhere/x"], "cannot be written", "name"),
    ],
)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str], argv: list[str], says: str, hint: str
) -> None:
    code, out, err = at_hand(capsys, *argv)
    assert (code, out) == (2, "")
    what, way_out = err.rstrip("\n").split("\n")
    assert what.startswith("error: ")
    assert says in what
    assert way_out.startswith(" hint: ")
    assert hint in way_out


PLAN = '{"schema": "vllm-ready/plan/1", "profile": "cuda"}'
NEWER = '{"schema": "vllm-ready/host/2", "readings": {}}'
WHOLE = 'gpus: [{name: NVIDIA L4}]\ndriver: "580.65.06"\npython: "3.12"\nglibc: "2.35"\nmachine: x86_64\n'


PASTE = """\
PyTorch version: 2.9.0+cu130
Is CUDA available: True
GPU models and configuration:
GPU 0: NVIDIA H100 80GB HBM3
vLLM Version: 0.33.0
"""


@pytest.mark.parametrize(
    ("content", "place", "says", "hint"),
    [
        (
            PLAN,
            ": schema",
            "is not a host recording: its schema is 'vllm-ready/plan/1'",
            "./setup.sh host -o FILE",
        ),
        (NEWER, ": schema", "its schema is vllm-ready/host/2", "update this one"),
        (b"", "", "is empty", "collect_env"),
        (bytes(range(256)) * 20, ":1", "is not a host description", "short YAML"),
        (b"\x7fELF\x02\x01\x01" + bytes(500), ":1", "is not a host description", "short YAML"),
        (b"gpus: []\n\xff\xfe\n", ":3", "is not YAML", "missing bracket"),
        (b"a" * 5 * 1024 * 1024, "", "is larger than 4 MiB", "the right file"),
        ("python: 3.10\ngpus: []\n", ":1", "YAML reads 3.10 as a number", 'write python: "3.10"'),
        ('driver: "580.65.06"\n', "", "a plan also needs: gpus", "`gpus: [{name: NVIDIA H100"),
        (PASTE, "", "a plan also needs: driver", "`Nvidia driver version: 580.65.06`"),
        (WHOLE.replace("NVIDIA L4", "FooBar 9000"), "", "`FooBar 9000` is unknown", 'cc: "9.0"'),
        (WHOLE.replace("580.65.06", "R580"), ":2", "`R580` is not a driver version", '"580.65.06"'),
        (
            "GPU 0: NVIDIA FooBar 9999\nNvidia driver version: 580.65.06\nOS: x (x86_64)\n"  # noqa: ISC004 - one text
            "Libc version: glibc-2.35\nPython version: 3.12.1\n",
            "",
            "FooBar",
            "cc:",
        ),
    ],
    ids=range(13),
)
def test_a_file_that_is_not_a_host(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: str | bytes,
    place: str,
    says: str,
    hint: str,
) -> None:
    file = tmp_path / "host.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    code, out, err = at_hand(capsys, "plan", "--json", "--host", str(file))
    assert (code, out) == (2, "")
    what, way_out = err.rstrip("\n").split("\n")
    assert what.startswith(f"error: {file}{place}: ")
    assert says in what
    assert hint in way_out


def test_a_plan_under_assumptions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "issue.txt"
    file.write_text(f"{PASTE}driver: 580.65.06\n")
    code, out, _ = at_hand(capsys, "plan", "--json", "--host", str(file))
    plan = json.loads(out)
    assert code == 0
    assert [said["fact"] for said in plan["assumptions"]] == ["machine", "glibc", "python"]
    assert plan["installed"] == {"torch": "2.9.0+cu130", "vllm": "0.33.0"}
    assert plan["read"]["driver"] == "580.65.06"
    code, out, _ = at_hand(capsys, "plan", "--host", str(file))
    assert "glibc 2.35: no line names it" in out
    assert "vllm 0.33.0, torch 2.9.0+cu130; the plan has" in " ".join(out.split())


def test_strict_plans_and_builds_assume_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "issue.txt"
    file.write_text(f"{PASTE}driver: 580.65.06\npython: '3.12'\nmachine: x86_64\n")
    prefix = ("--prefix", str(tmp_path / "envs"))
    for argv in (
        ("plan", "--strict"),
        ("provision", "--dry-run", *prefix),
        ("bundle", "-o", str(tmp_path / "bundle"), *prefix),
    ):
        code, out, err = at_hand(capsys, *argv, "--host", str(file))
        assert (code, out) == (2, "")
        assert "does not tell glibc (likely 2.35)" in err
        assert "`Libc version: glibc-2.35`" in err
        assert ("--assume" in err) == (argv[0] != "plan")
    file.write_text(f"{file.read_text()}Libc version: glibc-2.35\n")
    assert at_hand(capsys, "plan", "--strict", "--host", str(file))[0] == 0


def test_the_facts_of_a_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file, recording = tmp_path / "issue.txt", tmp_path / "host.json"
    file.write_text(PASTE)
    code, out, _ = at_hand(capsys, "host", str(file))
    assert code == 0
    assert "line 4: GPU 0: NVIDIA H100 80GB HBM3" in out
    assert "add a line `Nvidia driver version: 580.65.06`" in out
    code, out, _ = at_hand(capsys, "host", str(file), "--json", "-o", str(recording))
    assert (code, json.loads(out)["schema"]) == (0, "vllm-ready/host-read/1")
    assert json.loads(at_hand(capsys, "host", str(recording), "--json")[1]) == json.loads(out)
    file.write_text("hello: world\n")
    assert at_hand(capsys, "host", str(file))[0] == 2


def test_a_future_cuda_is_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = at_hand(capsys, "plan", "--host", H100, "--set", "cuda=15.0")
    assert code == 3
    assert "the settings ask for CUDA 15.0" in out


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00\x01" * 99, b"a" * 17 * 1024 * 1024, b"python: 3.10\n"]
)
def test_bad_standard_input(content: bytes) -> None:
    command = [sys.executable, "-I", "-B", "-c", LAUNCH, str(ROOT), "plan", "--host", "-"]
    done = subprocess.run(command, input=content, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: standard input")
    assert done.stderr.count(b"\n") == 2


# --- failures from outside ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["plan", "--host", H100], 0),
        (["plan", "--json", "--host", P100], 3),
        (["catalog", "show", "pci"], 0),
        (["--help"], 0),
        (["--version"], 0),
    ],
    ids=["plan", "plan --json", "catalog", "--help", "--version"],
)
def test_a_closed_reader(argv: list[str], code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(*argv, stdout=writing) as child:
        os.close(writing)
        _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (code, "")


def test_a_reader_that_takes_one_line() -> None:
    with start("catalog", "show", "--json", "pci", "gpus", "vllm") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "{\n"
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 0


def test_no_space_for_the_answer() -> None:
    with Path("/dev/full").open("w") as full:
        code, _, err = ended("plan", "--host", H100, stdout=full)
    assert code == 2
    assert err.startswith("error: standard output: cannot be written: No space left on device")


def test_streams_that_are_closed() -> None:
    shell = 'exec "$@" <&- >&- 2>&-'
    command = [
        "sh",
        "-c",
        shell,
        "sh",
        sys.executable,
        "-I",
        "-B",
        "-c",
        LAUNCH,
        str(ROOT),
        "plan",
        "--host",
    ]
    assert subprocess.run([*command, H100], check=False).returncode == 0
    assert subprocess.run([*command, P100], check=False).returncode == 3
    assert subprocess.run([*command, "-"], check=False).returncode == 2


def test_ctrl_c_while_the_host_is_recorded(tmp_path: Path) -> None:
    slow = tmp_path / "nvidia-smi"
    slow.write_text(f"#!/bin/sh\n: >{tmp_path}/started\nexec sleep 8\n")
    slow.chmod(0o755)
    with start("host", env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}) as child:
        until = time.monotonic() + 20
        while not (tmp_path / "started").exists() and time.monotonic() < until:
            time.sleep(0.02)
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (130, "", "interrupted\n")
    assert time.monotonic() - began < 4


def test_a_bug_leaves_one_message_and_a_log_without_the_user(checkout: Path) -> None:
    env = {**os.environ, "HOME": "/home/canarykit", "USER": "canarykit", "LOGNAME": "canarykit"}
    argv = ["plan", "--set", "sources.pypi=https://canarykit:pass4canary@mirror.example/"]
    code, out, err = ended(*argv, checkout=checkout, code=BREAK, env=env)
    assert (code, out) == (70, "")
    what, way_out = err.rstrip("\n").split("\n")
    assert what == "error: a bug in vllm-ready: RuntimeError: no such thing in ~/secret"
    (log,) = (checkout / "logs").iterdir()
    assert str(log) in way_out
    text = log.read_text()
    assert "canary" not in text + err
    assert "Traceback" in text
    assert "https://***@mirror.example/" in text
    assert re.match(r"vllm-ready \d", text)
    shutil.rmtree(checkout / "logs")


def test_a_bug_without_a_writable_log_is_printed(tmp_path: Path, checkout: Path) -> None:
    shutil.copytree(checkout / "provision", tmp_path / "provision")
    (tmp_path / "logs").write_text("a file in the place of the folder")
    code, _, err = ended("plan", checkout=tmp_path, code=BREAK)
    assert code == 70
    assert err.startswith("error: a bug in vllm-ready: RuntimeError: no such thing")
    assert "Traceback" in err


# --- nothing is written ---------------------------------------------------------------------------


def everything_below(*folders: Path) -> dict[str, tuple[int, int]]:
    paths = (path for folder in folders for path in folder.rglob("*"))
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths}


def test_plan_and_host_write_nothing_anywhere(tmp_path: Path, checkout: Path) -> None:
    home, here, temporary = (tmp_path / name for name in ("home", "here", "tmp"))
    for folder in (home, here, temporary):
        folder.mkdir()
    (here / "bad.yaml").write_text("python: 3.10\n")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(temporary)}
    before = everything_below(checkout, tmp_path)
    codes = [
        ended(*argv, checkout=checkout, cwd=here, env=env)[0]
        for argv in (
            ["plan", "--host", H100],
            ["plan", "--json", "--host", "bad.yaml"],
            ["plan", "--set", "profile=cpu", *OFF],
            ["plan", "--set", "vlm=1"],
            ["host", "--json"],
            ["catalog", "show"],
        )
    ]
    assert codes == [0, 2, 3, 2, 0, 0]
    assert everything_below(checkout, tmp_path) == before


def test_a_user_id_without_a_home_and_without_settings_is_planned_for(
    tmp_path: Path, checkout: Path
) -> None:
    (tmp_path / "provision").symlink_to(checkout / "provision")
    env = {"PATH": os.environ["PATH"]}
    code, out, err = ended("host", "--json", checkout=tmp_path, env=env, cwd=tmp_path)
    assert (code, err) == (0, "")
    assert json.loads(out)["schema"] == "vllm-ready/host/1"
