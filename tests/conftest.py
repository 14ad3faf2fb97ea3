"""Shared by all tests: the catalogue, signals as a shell sets them, the options of the suite."""

from __future__ import annotations

import compileall
import functools
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from provision.catalog import rows
from provision.doors.process import Finished
from provision.host import _programs
from tests.checks import real

ROOT = Path(__file__).parents[1]
MEMORY = Path("/dev/shm")
OWN: list[str] = []
RESULTS = ROOT / "tasks" / "task-results"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-golden", action="store_true", help="write the golden files again; read the diff"
    )
    parser.addoption("--fast", action="store_true", help="leave out the tests marked `environment`")
    parser.addoption("--long", action="store_true", help="run the long tests at their full size")


def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than cores: a third of the time tests wait for something."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that all workers share, and compile the code once for thousands of children.

    Small files lie in memory if there is room, because a busy disk is the slowest part.
    """
    if not hasattr(config, "workerinput"):
        os.environ[real.SHARED] = own_folder()
        if MEMORY.is_dir() and roomy(MEMORY):
            os.environ["TMPDIR"] = tempfile.tempdir = own_folder(MEMORY)
        for folder in ("provision", "checks"):
            compileall.compile_dir(ROOT / folder, quiet=2)


def own_folder(inside: Path | None = None) -> str:
    """Make a folder that goes with the session. Its name is short: the names of sockets are."""
    folder = tempfile.mkdtemp(prefix="ready-", dir=inside)
    Path(folder).chmod(0o755)  # some tests are another user's
    OWN.append(folder)
    return folder


def roomy(folder: Path) -> bool:
    """Return True if the folder has 4 GiB free and programs can start there."""
    result = os.statvfs(folder)
    return result.f_bavail * result.f_frsize > 4 * 2**30 and not result.f_flag & os.ST_NOEXEC


def pytest_unconfigure() -> None:
    for folder in OWN:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the tests, and put the longest first; the one that builds the real vLLM leads.

    The first worker begins with the longest, the last one with the shortest; then they share.
    """
    for item in items:
        if uses_real_vllm(item):
            item.add_marker("environment")
    left_out = ["environment"] if config.getoption("--fast") else []
    left_out += [] if config.getoption("--long") else ["long"]
    out = [item for item in items if any(map(item.get_closest_marker, left_out))]
    config.hook.pytest_deselected(items=out)
    kept = [item for item in items if not any(map(item.get_closest_marker, left_out))]
    items[:] = sorted(kept, key=place_in_line)


def place_in_line(item: pytest.Item) -> int:
    if uses_real_vllm(item):
        return 1 if item.get_closest_marker("alone") else 2
    return 3 if item.get_closest_marker("environment") else 4


def uses_real_vllm(item: pytest.Item) -> bool:
    return not {"real_vllm", "brought_up"}.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no test change the real vLLM while another one uses it."""
    if not uses_real_vllm(item):
        return (yield)
    with real.locked("in use", alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _signals_as_a_shell_gives_them() -> None:
    """Restore signals that nohup and a background shell ignore, because children inherit them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def brought_up() -> real.BroughtUp:
    """Build a real vLLM for this host's CPU once for all workers: download 1 GB, disk 3 GB."""
    with real.locked("build", alone=True):
        return real.BroughtUp(Path(os.environ[real.SHARED]))


@pytest.fixture(scope="session")
def real_vllm(request: pytest.FixtureRequest) -> real.Vllm:
    """Return its Python, or that of VLLM_READY_TEST_ENV, an existing vLLM for work on one test."""
    named = os.environ.get("VLLM_READY_TEST_ENV")
    return real.Vllm(named or request.getfixturevalue("brought_up").python)


@pytest.fixture
def programs_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask each Python and compiler of this host once, because that takes longer than a test."""
    monkeypatch.setattr(
        _programs, "_all_at_once", lambda commands: [_answer(command) for command in commands]
    )


_all_programs_at_once = _programs._all_at_once


@functools.cache
def _answer(command: tuple[str, ...]) -> Finished:
    (answer,) = _all_programs_at_once([command])
    return answer


@pytest.fixture(scope="session")
def catalogue() -> rows.Catalogue:
    return rows.load()


@pytest.fixture(scope="session", autouse=True)
def _no_pages_of_tests() -> Iterator[None]:
    """Fail if a test writes pages into this checkout; a test must use --set tasks=DIR."""
    before = pages()
    yield
    assert pages() == before, "a test has written into the checkout's own tasks/task-results"


def pages() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in RESULTS.glob("*")}
