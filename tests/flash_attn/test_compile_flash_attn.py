"""Compiling flash-attn: fewer files at once on little memory, resuming, the first error."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.flash_attn import build_steps
from tests.patience import until

# A stand-in for flash-attn's own: compiles MAX_JOBS "files" at once, keeps the compiled ones,
# prints ninja's lines, and makes a wheel.
SETUP = """
import os, pathlib, subprocess, sys
sources = [
    "csrc/flash_attn/flash_api.cpp",
    "csrc/flash_attn/src/flash_one.cu",
    "csrc/flash_attn/src/flash_two.cu",
    "csrc/flash_attn/src/flash_three.cu",
]
flags = "-std=c++17"
pathlib.Path("build").mkdir(exist_ok=True)
pathlib.Path("flags").write_text(flags)
todo = [name for name in sources if not pathlib.Path("build", pathlib.Path(name).stem).exists()]
jobs, done, total = int(os.environ["MAX_JOBS"]), 0, len(todo)
while todo:
    batch, todo = todo[:jobs], todo[jobs:]
    running = [(name, subprocess.Popen([sys.executable, "compile.py", name])) for name in batch]
    for name, one in running:
        if one.wait():
            print("FAILED" if one.returncode > 0 else "nvcc error : 'cicc' died due to signal 9")
            sys.exit(1)
        done += 1
        print(f"[{done}/{total}] nvcc -c {name}", flush=True)
dist = pathlib.Path(sys.argv[sys.argv.index("--dist-dir") + 1])
dist.mkdir(parents=True)
dist.joinpath("flash_attn-1-py3-none-any.whl").write_bytes(b"")
"""
COMPILE = """
import os, pathlib, sys, time
name = pathlib.Path(sys.argv[1])
@BODY@
pathlib.Path("build", name.stem).write_text("compiled")
"""
SCRIPT = (sys.executable, "-I", str(build_steps.COMPILE))


def release(tmp_path: Path, body: str = "", setup: str = SETUP) -> Path:
    path = tmp_path / "flash_attn-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {
            "setup.py": setup,
            "compile.py": COMPILE.replace("@BODY@", body),
        }.items():
            entry = tarfile.TarInfo(f"flash_attn-1/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def command(source: Path, jobs: int = 2, std: int = 20) -> list[str]:
    folder = source.parent / "sources"
    return [
        *SCRIPT,
        str(source),
        str(folder),
        str(folder / "dist"),
        "--jobs",
        str(jobs),
        "--std",
        str(std),
    ]


def compiled(source: Path) -> list[str]:
    return sorted(path.name for path in (source.parent / "sources").glob("*/build/*"))


def test_all_files_are_compiled_into_a_wheel(tmp_path: Path) -> None:
    source = release(tmp_path)
    result = subprocess.run(command(source), capture_output=True, text=True, check=True)
    assert [
        line.partition("]")[0] for line in result.stdout.splitlines() if line.startswith("[")
    ] == [*("[1/4", "[2/4", "[3/4", "[4/4")]
    assert "ninja [4/4] nvcc -c csrc/flash_attn/src/flash_three.cu" in result.stdout
    assert [path.name for path in (tmp_path / "sources" / "dist").iterdir()] == [
        "flash_attn-1-py3-none-any.whl"
    ]
    assert next((tmp_path / "sources").glob("*/flags")).read_text() == "-std=c++20"


def test_the_first_error_is_the_reason(tmp_path: Path) -> None:
    body = (
        "if 'two' in name.stem: sys.exit('flash_two.cu(7): error: identifier \"x\" is undefined')\n"
    )
    result = subprocess.run(
        command(release(tmp_path, body)), capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr == (
        'flash-attn could not be compiled: flash_two.cu(7): error: identifier "x" is undefined\n'
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise RuntimeError('g++ 14 is too new')", "RuntimeError: g++ 14 is too new"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (
            "from subprocess import *; run(['false'], check=True)",
            "subprocess.CalledProcessError: Command '['false']'",
        ),
        (
            "try:\n    {}['ninja']\nexcept KeyError as e:\n    raise ValueError('no ninja') from e",
            "ValueError: no ninja",
        ),
        ("sys.exit(3)", "its setup failed"),
    ],
)
def test_an_exception_of_setup_is_the_reason_without_a_compiler_error(
    tmp_path: Path, body: str, reason: str
) -> None:
    source = release(tmp_path, setup=f"{SETUP}{body}\n")
    result = subprocess.run(command(source), capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"flash-attn could not be compiled: {reason}")
    assert result.stderr.count("\n") == 1


def test_memory_for_less_than_one_file_names_a_way_out(tmp_path: Path) -> None:
    source = release(tmp_path, setup=f"{SETUP}print('bad_alloc')\nsys.exit(1)\n")
    result = subprocess.run(command(source), capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "going on with 1 at once" in result.stdout
    assert "memory ran out with a single file at once; " in result.stderr
    assert result.stderr.endswith(
        "build on another host and bring the wheel with `./setup.sh wheels import`\n"
    )


@pytest.mark.parametrize("name", ["other/setup.py", "../outside.py"])
def test_an_invalid_source_release_is_the_reason(tmp_path: Path, name: str) -> None:
    source = release(tmp_path)
    with tarfile.open(source, "w:gz") as archive:
        for member in ("flash_attn-1/setup.py", name):
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    result = subprocess.run(command(source), capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(
        "flash-attn could not be compiled: its source release cannot be unpacked: "
    )
    assert not list(tmp_path.glob("**/outside.py"))


def test_a_killed_run_resumes_and_its_leftover_processes_are_ended(tmp_path: Path) -> None:
    body = (
        "with open('started', 'a') as seen: seen.write(f'{name.stem}\\n')\n"
        "if 'two' in name.stem and not os.path.exists('go'): time.sleep(60)\n"
    )
    source = release(tmp_path, body)
    running = subprocess.Popen(command(source), stdout=subprocess.DEVNULL, start_new_session=True)
    until(
        lambda: (
            compiled(source) == ["flash_api", "flash_one", "flash_three"]
            and "two" in started(source)
        )
    )
    running.kill()  # the script alone: what it started lives on
    running.wait()
    leftover = users(tmp_path / "sources")
    assert leftover
    next((tmp_path / "sources").glob("*/setup.py")).with_name("go").touch()
    result = subprocess.run(command(source), capture_output=True, text=True, check=True)
    assert not {pid for pid in leftover if Path(f"/proc/{pid}/cwd").exists()}
    assert [line[:5] for line in result.stdout.splitlines() if line.startswith("[")] == ["[4/4]"]
    assert started(source).split().count("flash_one") == 1
    assert started(source).split().count("flash_two") == 2


def started(source: Path) -> str:
    return "".join(path.read_text() for path in (source.parent / "sources").glob("*/started"))


def users(folder: Path) -> list[int]:
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(process / "cwd").startswith(str(folder)):
                processes.append(int(process.name))
    return processes


@pytest.fixture
def small_group(tmp_path: Path) -> Iterator[Path]:
    """Yield a control group with 512 MiB."""
    root = Path("/sys/fs/cgroup/memory")
    group = (
        root if root.is_dir() else Path("/sys/fs/cgroup")
    ) / f"vllm-ready-{os.getpid()}-{tmp_path.name}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if root.is_dir() else "memory.max")).write_text(
            str(512 * 2**20)
        )
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    yield group
    until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_a_memory_limit_leads_to_fewer_files_at_once(tmp_path: Path, small_group: Path) -> None:
    # Memory grows in steps, as a compiler's does.
    body = "held = [os.urandom(90 * 2**20)]\nfor _ in range(15):\n    held.append(os.urandom(2**21))\n    time.sleep(0.2)\n"
    source = release(tmp_path, body)

    def enter() -> None:
        (small_group / "cgroup.procs").write_text(str(os.getpid()))

    result = subprocess.run(
        command(source, jobs=4),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=enter,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "memory ran out; going on with 2 at once" in result.stdout
    assert compiled(source) == ["flash_api", "flash_one", "flash_three", "flash_two"]
    events = next(
        path
        for name in ("memory.oom_control", "memory.events")
        if (path := small_group / name).exists()
    )
    assert re.search(r"(?m)^oom_kill 0$", events.read_text())  # the kernel killed no process
