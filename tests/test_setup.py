"""setup.sh: it passes everything on, does nothing twice and survives kills."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.setup.stand_in import ROOT, StandIn, index, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="tomllib came with Python 3.11")

pytestmark = pytest.mark.environment


@pytest.fixture
def host(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path).give_uv()


def contents(folder: Path) -> dict[str, int]:
    return {
        str(path): path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if "__pycache__" not in str(path)
    }


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["plan", "--host", "a file"],
        ["", " ", "*", "two\nlines", "$HOME", "`id`", "--", "-n", "ü", "'", '"', "\\"],
    ],
)
def test_arguments_arrive_unchanged(host: StandIn, args: list[str]) -> None:
    answer = host.setup(*args)
    assert (answer.code, json.loads(answer.out)["args"]) == (0, args), answer.err


def test_stdout_and_the_exit_status_belong_to_the_verb(host: StandIn) -> None:
    answer = host.setup(END_WITH="5")
    assert answer.code == 5
    assert len(answer.out.splitlines()) == 1
    assert all(line.startswith("setup: ") for line in answer.err.splitlines()), answer.err
    assert json.loads(answer.out)["cwd"] == str(host.base)


def test_the_environment_has_pins_and_checkout_and_nothing_else_is_written(host: StandIn) -> None:
    before = set(host.base.iterdir())
    seen = json.loads(host.setup().out)
    assert seen["seen"] == "the pinned one"
    assert str(host.checkout) in seen["path"]
    new = {path.name for path in host.checkout.iterdir()} - {"setup.sh", ".ci", "provision"}
    assert new == {".venv", ".venv.lock", "requirements.txt", "requirements-test.txt"}
    assert set(host.base.iterdir()) == before


def test_a_second_run_starts_and_writes_nothing(host: StandIn) -> None:
    host.setup()
    before = contents(host.checkout)
    bash = shutil.which("bash") or ""
    answer = host.run([bash, *host.command("again")], PATH="/nowhere")
    assert (answer.code, answer.err, json.loads(answer.out)["args"]) == (0, "", ["again"])
    assert contents(host.checkout) == before


def test_other_pins_rebuild_the_environment(host: StandIn) -> None:
    host.setup()
    pin = make_wheel(host.wheels, "tiny", {"tiny.py": "SEEN = 'the newer one'\n"})
    (host.checkout / "requirements.txt").write_text(pin, encoding="utf-8")
    assert json.loads(host.setup().out)["seen"] == "the newer one"


def test_a_moved_checkout_rebuilds_the_environment(host: StandIn) -> None:
    host.setup()
    host.checkout = host.checkout.rename(host.base / "elsewhere")
    answer = host.setup()
    assert "is ready" in answer.err
    assert str(host.checkout) in json.loads(answer.out)["path"]


def test_a_missing_python_rebuilds_the_environment(host: StandIn) -> None:
    host.setup()
    python = host.checkout / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.9-that-an-upgrade-removed")
    answer = host.setup()
    assert (answer.code, "is ready" in answer.err) == (0, True)


@pytest.mark.parametrize("lost", ["tiny.py", "tiny-1.0.dist-info"])
def test_a_lost_package_rebuilds_the_environment(host: StandIn, lost: str) -> None:
    host.setup()
    (path,) = (host.checkout / ".venv").glob(f"lib/python3.*/site-packages/{lost}")
    path.rename(host.base / "lost")
    answer = host.setup()
    assert (answer.code, json.loads(answer.out)["seen"]) == (0, "the pinned one"), answer.err
    assert "is ready" in answer.err
    assert host.setup().err == ""


def test_a_checkout_with_a_line_break_in_its_name(tmp_path: Path) -> None:
    host = StandIn(tmp_path, "two\nlines").give_uv()
    assert "is ready" in host.setup().err
    assert host.setup().err == ""


def test_a_killed_setup_is_repaired(host: StandIn) -> None:
    stuck = threading.Event()
    with index(host.wheels, stuck=stuck) as (port, _):
        url = f"http://127.0.0.1:{port}/simple"
        first = host.start(PIP_INDEX_URL=url, PIP_NO_INDEX="", PIP_FIND_LINKS="")
        assert stuck.wait(60)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    assert (host.checkout / ".venv").exists()
    assert not (host.checkout / ".venv/.ready").exists()
    answer = host.setup("healed")
    assert (answer.code, json.loads(answer.out)["args"]) == (0, ["healed"]), answer.err


def test_an_interrupted_setup_ends_as_interrupted(host: StandIn) -> None:
    stuck = threading.Event()
    with index(host.wheels, stuck=stuck) as (port, _):
        url = f"http://127.0.0.1:{port}/simple"
        process = host.start(PIP_INDEX_URL=url, PIP_NO_INDEX="", PIP_FIND_LINKS="")
        assert stuck.wait(60)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, "error" in err) == (130, False), err


def test_an_environment_without_its_stamp_is_rebuilt(host: StandIn) -> None:
    host.setup()
    (host.checkout / ".venv/.ready").unlink()
    for tiny in (host.checkout / ".venv").rglob("tiny.py"):
        tiny.write_text("half of it", encoding="utf-8")
    answer = host.setup()
    assert (answer.code, json.loads(answer.out)["seen"]) == (0, "the pinned one")


@pytest.mark.parametrize("lock", ["flock", ""])
def test_parallel_runs_build_the_environment_once(host: StandIn, lock: str) -> None:
    if lock and not shutil.which(lock):
        pytest.skip("this machine has no flock")
    host.give(*[lock] if lock else [])
    started = [host.start(str(number)) for number in range(3)]
    ends = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ends
    assert sum("is ready" in err for _, err in ends) == 1


def test_the_lock_of_a_dead_process_is_ignored(host: StandIn) -> None:
    lock = host.checkout / ".venv.lock"
    lock.mkdir()
    (lock / "owner").symlink_to("4194305")  # above what the kernel gives out
    assert host.setup().code == 0
    assert not (lock / "owner").is_symlink()


def test_called_from_elsewhere_through_a_link_and_by_dash(host: StandIn) -> None:
    elsewhere = host.base / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "ready").symlink_to(host.checkout / "setup.sh")
    host.cwd = elsewhere
    through_link = host.run(["./ready", "a"])
    assert json.loads(through_link.out)["cwd"] == str(elsewhere), through_link.err
    shell = shutil.which("dash") or "/bin/sh"
    host.cwd = host.checkout
    by_name = host.run([shell, "setup.sh", "b c"], CDPATH=str(elsewhere))
    assert json.loads(by_name.out)["args"] == ["b c"], by_name.err


def test_a_hostile_environment_has_no_effect(host: StandIn) -> None:
    trap = host.base / "trap"
    trap.mkdir()
    for name in ("provision", "tiny", "sitecustomize", "venv", "json"):
        (trap / f"{name}.py").write_text("raise SystemExit('trapped')", encoding="utf-8")
    answer = host.setup(
        PYTHONPATH=str(trap), PYTHONHOME=str(trap), VIRTUAL_ENV=str(trap), UV_CONSTRAINT="gone.txt"
    )
    assert (answer.code, json.loads(answer.out)["seen"]) == (0, "the pinned one"), answer.err


@pytest.mark.parametrize("command", ["setup.sh", ".ci/run"])
def test_the_tests_run_in_the_checkout_and_decide_the_exit_code(
    host: StandIn, command: str
) -> None:
    argv = [str(host.checkout / command), *(["test", "-k", "a b"] if command == "setup.sh" else [])]
    answer = host.give("dirname").run(argv, END_WITH="5")
    assert answer.code == 5, answer.err
    message, last = answer.out.splitlines()
    assert last == ("=== 3 passed in 0.01s ===")
    assert json.loads(message)["cwd"] == str(host.checkout)
    assert json.loads(message)["args"] == ["-n", "auto", "--dist", "worksteal", *argv[2:]]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_every_pin_has_a_hash_and_no_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    pins = pinned(text)
    assert text.count("==") - text.count("python_full_version ==") >= len(pins) > 20
    blocks = re.split(r"\n(?=[a-z])", re.sub(r"(?m)^#.*\n", "", text))
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?://|--(?:extra-)?index|--find-links|file:", text)


def test_the_pins_cover_pyproject_and_agree_with_each_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    control, tests = (
        pinned((ROOT / f"requirements{kind}.txt").read_text(encoding="utf-8"))
        for kind in ("", "-test")
    )
    assert {name.partition(";")[0].lower() for name in project["dependencies"]} <= {
        name for name, _ in control
    }
    assert {name.lower() for name in project["optional-dependencies"]["test"]} <= {
        name for name, _ in tests
    }
    assert control <= tests


def pinned(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", text))
