"""Full and read-only disks: finished work stays, the place is named, the same command continues."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provision.engine import environments
from provision.engine.logs import StepLog
from tests.binary.tiny_wheel import MODULE, module, wheel
from tests.faults.small_disks import on_a_disk
from tests.faults.small_up import CODE, ROOT, Small

pytestmark = pytest.mark.environment

UP = ("up", "--yes")


@pytest.mark.parametrize("kilobytes", [40, 160, 220, 260])
def test_the_prefix_fills_up(small: Small, kilobytes: int) -> None:
    """Fill it at the first files, while uv unpacks, while it installs, and at a file of ours."""
    first, then, output = on_a_disk(small, small.prefix, f"size={kilobytes}k", *UP, then="size=9m")
    assert (first, then) == (4, 0), output
    assert "No space left on device" in output
    assert "free some" in output


def test_the_store_fills_up(small: Small) -> None:
    store = small.prefix / "wheels"
    first, then, output = on_a_disk(small, store, "size=4k", *UP, then="size=9m")
    assert (first, then) == (4, 0), output
    why = f"the wheels cannot be stored: No space left on device: {store}"
    assert f"error: step 40-torch: fetch 3 wheels: {why}" in output
    assert (
        "hint: free some space, or use another disk (--prefix DIR); then retry with the same command"
        in output
    )
    logs = [path.read_text() for path in small.logs.glob("*/40-torch.log")]
    assert [why in log for log in logs].count(True) == 1  # both runs may have begun in one second


@pytest.mark.parametrize("verb", ["import", "export"])
def test_a_flash_attn_wheel_goes_to_a_full_disk(small: Small, verb: str) -> None:
    """Into the store, or out of it."""
    store, out = small.prefix / "wheels", small.folder / "out"
    large = wheel(small.folder, {MODULE: module(), "flash_attn/much": b"x" * 100_000})
    place, what = (store, large) if verb == "import" else (out, out)
    if verb == "export":
        assert small.run("wheels", "import", str(large))[0] == 0
    first, then, output = on_a_disk(
        small, place, "size=64k", "wheels", verb, str(what), then="size=9m"
    )
    assert (first, then) == (2, 0), output
    assert f"error: {place}: cannot be written: No space left on device" in output
    assert "hint: free some space; " in output


def test_a_disk_that_is_too_small_is_refused_before_anything_is_fetched(small: Small) -> None:
    first, then, output = on_a_disk(
        small, small.prefix, "size=9m", *UP, then="size=200m", code=CODE
    )
    assert (first, then) == (4, 0), output
    assert (
        "step 10-preflight: room for the environment and its wheels: 100 MB of disk space are needed, "
        in output
    )
    assert "40 torch" not in output


def test_uvs_cache_fills_up(small: Small) -> None:
    """The cache holds uv's data about interpreters; nothing is installed from it."""
    first, then, output = on_a_disk(small, small.folder / "cache", "size=16k", *UP, then="size=9m")
    assert (first, then) == (4, 0), output
    assert f"{small.folder}/cache" in output
    assert "free some space there; the same command resumes" in output


def test_uvs_cache_fills_up_while_packages_are_resolved(small: Small) -> None:
    real = """from pathlib import Path; from provision.engine import bring_up; from provision.engine.resolve import resolve as engine_resolve
from provision.session import request, resolve
from tests.faults.small_up import PLAN
resolve._resolve_again = lambda session: engine_resolve(
    PLAN, session.settings, bring_up.own_uv(), request.environment(session, PLAN), Path(session.prefix) / "asked")
from provision.cli"""
    code = CODE.replace("from provision.cli", real)
    first, _, output = on_a_disk(
        small, small.folder / "cache", "size=16k", *UP, "--upgrade", code=code
    )
    assert first == 4, output
    assert "error: the packages could not be resolved: " in output
    assert f"{small.folder}/cache" in output
    assert "hint: free some space there; nothing was changed, retry with the same command" in output


@pytest.mark.parametrize(("inodes", "code"), [(2, 4), (3, 5), (4, 5)])
def test_the_folder_for_temporary_files_fills_up(small: Small, inodes: int, code: int) -> None:
    """Before the checks are listed, before one is asked, before it can answer."""
    place = small.folder / "tmp"
    options = (f"nr_inodes={inodes}", *UP)
    first, then, output = on_a_disk(
        small, place, *options, then="nr_inodes=99", env={"TMPDIR": str(place)}
    )
    assert (first, then) == (code, 0), output
    assert "No space left on device" in output
    assert str(place) in output


@pytest.mark.parametrize("options", ["size=4k", "size=32k", "nr_inodes=1"])
def test_the_logs_fill_up(small: Small, options: str) -> None:
    """An incomplete log does not affect the verdict."""
    first, _, output = on_a_disk(small, small.logs, options, *UP)
    assert first == 0, output
    assert "is incomplete" in output
    assert "VERIFIED" in output
    assert (small.prefix / environments.CURRENT).exists()


def test_a_failure_is_told_although_the_logs_are_full(small: Small) -> None:
    (lost,) = small.wheels.glob("torch-*")
    lost.unlink()
    first, _, output = on_a_disk(small, small.logs, "nr_inodes=1", *UP)
    assert first == 4
    assert (
        f"step 40-torch: fetch 3 wheels: cannot be read: No such file or directory: {lost}"
        in output
    )


def test_a_log_that_fills_up_says_so(tmp_path: Path) -> None:
    """Needs no mount: every write to this device fails as on a full disk."""
    (tmp_path / "30-x.log").symlink_to("/dev/full")
    log = StepLog(tmp_path / "30-x.log")
    assert log.line("output") == "output"
    assert log.full
    log.close()


def test_a_log_that_cannot_be_begun_for_want_of_space_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def full(path: str | Path, flags: int, *mode: int) -> int:
        if str(path).endswith(".log"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(path, flags, *mode)

    monkeypatch.setattr(os, "open", full)
    log = StepLog(tmp_path / "30-x.log")
    log.line("output")
    assert log.full
    log.close()


def test_a_full_disk_can_be_pruned(small: Small) -> None:
    """`prune`, which the message suggests, needs no space itself."""
    fill = 'head -c 9m /dev/zero >"$place/much" 2>/dev/null; true'
    first, _, output = on_a_disk(small, small.prefix, "size=64k", "prune", before=fill)
    assert (first, output) == (0, "nothing to remove\n")


def test_a_prefix_that_is_read_only(finished: Small) -> None:
    """The environment is used, listed and checked; a change is refused and names the place."""
    (finished.packages / "sympy.py").write_text("other\n")
    ours = 'mount --bind "$HELD" "$place" && mount -o remount,ro,bind "$place" || exit 77'
    env = {"HELD": str(finished.prefix)}
    place = finished.folder / "read only"
    first, _, output = on_a_disk(
        finished, place, "size=4k", *UP, "--prefix", str(place), before=ours, env=env
    )
    assert first == 3, output
    assert f"error: {place}: cannot be written: Read-only file system" in output
    assert "--prefix DIR" in output
    first, _, output = on_a_disk(
        finished, place, "size=4k", "check", "--prefix", str(place), before=ours, env=env
    )
    assert first == 1, output
    assert "sympy.py of sympy-1.9 has 6 bytes" in output


def test_an_environment_shares_no_file_with_anything(finished: Small) -> None:
    """It shares none with the store, uv's cache or the environment before: an edit stays there."""
    assert {path.stat().st_nlink for path in finished.current.rglob("*") if path.is_file()} == {1}
    assert not (finished.current / environments.STATE / "unpacked").exists()
    wheels = [
        path
        for path in (finished.folder / "cache").rglob("*")
        if path.is_file() and "torch" in str(path)
    ]
    assert not wheels, "uv's cache has no part in it"


def test_a_file_cut_short_by_a_limit_is_as_if_never_written(tmp_path: Path) -> None:
    """A quota or a limit ends a write in the middle; readers go on seeing the old content."""
    path = tmp_path / "plan.json"
    path.write_text("old")
    code = """import pathlib, resource, sys; from provision.doors import files
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); files.write(pathlib.Path(sys.argv[1]), "n" * 1000)"""
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "plan.json: cannot be written: File too large" in done.stderr
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]
