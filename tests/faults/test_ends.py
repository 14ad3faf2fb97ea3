"""Readers that go away, signals, kills, a second run: the end of a run is never half of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from provision.engine import environments
from provision.steps.model import Lock
from tests.doors.local_server import serving
from tests.engine.small_index import wheel
from tests.faults.small_up import CODE, PLAN, ROOT, Small
from tests.patience import started, until

pytestmark = pytest.mark.environment

UP = ("up", "--yes")
# Dies before its n-th rename or link, or with 0 says how many there were.
DYING = """import os, signal, sys
nth, calls = int(sys.argv.pop(1)), 0
def counted(real):
    def call(*words, **more):
        global calls
        calls += 1
        if calls == nth:
            os.killpg(0, signal.SIGKILL)
        return real(*words, **more)
    return call
for name in ("replace", "rename", "symlink"):
    setattr(os, name, counted(getattr(os, name)))
import atexit
atexit.register(lambda: nth or sys.stderr.write(f"renames: {calls}\\n"))
"""


@pytest.mark.parametrize(
    ("stream", "how"),
    [
        ("stdout", "gone"),
        ("stdout", "full"),
        ("stderr", "closed"),
        pytest.param("stderr", "gone", marks=pytest.mark.long),
        pytest.param("stderr", "full", marks=pytest.mark.long),
        pytest.param("stdout", "closed", marks=pytest.mark.long),
    ],
)
def test_nobody_reads_what_is_said(small: Small, stream: str, how: str) -> None:
    """`up 2>&1 | head -1`: the environment is brought to its end all the same."""
    number = {"stdout": 1, "stderr": 2}[stream]
    shell = {"gone": ":", "full": f"exec {number}>/dev/full", "closed": f"exec {number}>&-"}[how]
    reading, writing = os.pipe()
    os.close(reading)
    with started(
        ["sh", "-c", f'{shell}; exec "$@"', "sh", *small.argv(*UP)],
        env=small.environment,
        stdout=writing if (stream, how) == ("stdout", "gone") else subprocess.PIPE,
        stderr=writing if (stream, how) == ("stderr", "gone") else subprocess.PIPE,
    ) as child:
        os.close(writing)
        _, err = child.communicate(timeout=60)
    assert child.returncode == (2 if (stream, how) == ("stdout", "full") else 0)
    if child.returncode:
        assert "standard output: cannot be written: No space left" in err
    assert environments.current_id(small.prefix), "what was said nowhere is done all the same"
    assert small.run(*UP)[1].startswith("nothing to do")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_polite_end_while_packages_are_resolved(small: Small, number: signal.Signals) -> None:
    """The resolver ends, the lock is free, and the exit code is that of an interruption."""
    note = small.folder / "asked"
    slow = f"""from provision.doors import process
from provision.session import resolve
resolve._resolve_again = lambda _: process.run(["sh", "-c", 'echo $$ >"$0"; exec sleep 60', {str(note)!r}], deadline_s=60)
"""
    argv = small.argv(
        *UP, "--upgrade", code=CODE.replace("from provision.cli", f"{slow}from provision.cli")
    )
    with started(argv, env=small.environment, stderr=subprocess.PIPE) as child:
        until(lambda: note.exists() and note.read_text().endswith("\n"))
        child.send_signal(number)
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err.splitlines()[-1]) == (130, "interrupted")
    until(
        lambda: not Path(f"/proc/{note.read_text().strip()}").exists()
    )  # its new parent may reap it late


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended_while_wheels_come(small: Small, number: signal.Signals) -> None:
    """The source is silent: the run ends at once, and finished downloads are not repeated."""
    path = wheel(small.wheels, "torch", "2.0+cpu", "sympy", files={"torch.txt": "much" * 100_000})
    with serving() as server:
        small = small.with_wheel(path).from_server(server)
        small.wish()
        torch = server.resources[f"/{quote(path.name)}"]
        torch.faults = ["reset", *["stall"] * 9]
        with started(small.argv(*UP), env=small.environment, stderr=subprocess.PIPE) as child:
            until(lambda: torch.requests == 2)
            child.send_signal(number)
            _, err = child.communicate(timeout=60)
            if number == signal.SIGTERM:
                assert child.returncode == 130
                (report,) = small.logs.glob("*/report.json")
                assert json.loads(report.read_text())["exit_code"] == 130
                hint = " hint: nothing in use was changed; the same command resumes"
                assert err.splitlines()[-2:] == ["error: interrupted", hint]
        size = next(small.prefix.glob("wheels/.torch-*.part")).stat().st_size
        assert size > len(torch.data) // 3
        torch.faults, before = (
            [],
            {name: resource.served for name, resource in server.resources.items()},
        )
        assert small.run(*UP)[0] == 0
        served = {
            name: resource.served - before[name] for name, resource in server.resources.items()
        }
        assert served[f"/{quote(path.name)}"] == len(torch.data) - size


@pytest.fixture(scope="module")
def renames(stocked: tuple[Path, Lock], tmp_path_factory: pytest.TempPathFactory) -> int:
    """Return the number of renames of a whole `up`."""
    small = Small(folder=tmp_path_factory.mktemp("counted"), wheels=stocked[0], lock=stocked[1])
    small.wish()
    _, _, err = small.run("0", *UP, code=_counting(CODE))
    return int(err.rpartition("renames: ")[2])


@pytest.mark.parametrize(
    "back", [16, *(pytest.param(back, marks=pytest.mark.long) for back in (15, 14, 1)), 12, 11]
)
def test_killed_before_each_of_the_last_renames_of_up(
    small: Small, renames: int, back: int
) -> None:
    """Manifest, mark of completeness, verdict, switch, report, and the last page of the report."""
    nth = renames - back + 1
    assert (
        small.run(str(nth), *UP, code=_counting(CODE), start_new_session=True)[0] == -signal.SIGKILL
    )
    now = environments.current_id(small.prefix)
    assert now is None or list(
        (small.prefix / now / environments.STATE / "verified").glob("*.json")
    )
    code, _, err = small.run(*UP)
    assert code == 0, err
    (made,) = environments.list_environments(small.prefix)
    assert made.current
    assert small.run("check")[0] == 0


def _counting(code: str) -> str:
    """Return code that dies at a rename; its number comes before all other arguments."""
    return (
        f"import sys; sys.argv[1:] = [*sys.argv[3:4], *sys.argv[1:3], *sys.argv[4:]]\n{DYING}{code}"
    )


def test_a_command_goes_with_its_killed_run(small: Small) -> None:
    note = small.folder / "note"
    code = """import sys; from pathlib import Path; from provision.engine.actions import Carrier
from provision.engine.fetch import Fetching; from provision.steps.model import Run, Site, Step
site = Site(generation="", prefix="", uv="", host_python="")
command = ("sh", "-c", 'echo $$ . >"$0"; exec sleep 60', sys.argv[1])
here = {"PATH": "/usr/bin:/bin"}
carrier = Carrier(site=site, folder=Path(sys.argv[1]).parent, events=lambda _: None, environment=here,
                  fetching=Fetching(here, lambda _: None), keep_open=())
carrier.carry_out(Step(number=10, name="x", title="", why="", actions=lambda *_: ()), [Run(title="", argv=command)])"""
    with started([sys.executable, "-c", code, str(note)], cwd=ROOT) as child:
        until(lambda: note.exists() and note.read_text().endswith(".\n"))
        child.kill()
    left = Path(f"/proc/{note.read_text().split()[0]}")
    until(lambda: not left.exists())
    assert not left.exists()


def test_what_is_not_verified_never_becomes_current(small: Small) -> None:
    small.wish(checks=(*PLAN.checks, "a_check_that_nobody_has"))
    code, out, _ = small.run(*UP)
    assert code == 5
    assert out.startswith("UNDECIDED")
    assert environments.current_id(small.prefix) is None
    assert "it is checked again, because no run has verified it since" in small.run(*UP)[2]
    small.wish()
    assert small.run(*UP)[0] == 0
    assert environments.current_id(small.prefix)


def test_two_runs_at_once(small: Small) -> None:
    hold = """import sys; from pathlib import Path; from provision.engine import locks
with locks.hold(Path(sys.argv[1]), "provision"):
    print("held", flush=True); sys.stdin.read()"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([sys.executable, "-c", hold, str(small.prefix)], cwd=ROOT, **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for verb in (UP, ("provision",), ("prune",), ("rollback",)):
            code, out, err = small.run(*verb)
            assert (code, out) == (6, "")
            assert f"another run works here: `provision`, pid {holder.pid}, since " in err
        assert not environments.list_environments(small.prefix)
        holder.kill()
    assert small.run(*UP)[0] == 0, "a killed holder holds nothing"
