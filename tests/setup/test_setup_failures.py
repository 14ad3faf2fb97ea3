"""Failures of setup.sh: one message, the command that helps, and the right exit code."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.setup.stand_in import Answer, StandIn, index, mounting

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.environment

NO_LINKS: dict[str, str | None] = {"PIP_NO_INDEX": None, "PIP_FIND_LINKS": None}
ANOTHER_USER = 54321  # a user id without an entry


@pytest.fixture
def host(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path).give_uv()


@pytest.fixture
def shared() -> Iterator[StandIn]:
    """Make a host whose folders every user may enter, unlike those of pytest."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        host = StandIn(Path(base), checkout="shared").give_uv()
        if (
            as_another_user(host, ["python3", "-c", "pass"]).code != 0
        ):  # the Python of the tests may be in root's home
            (host.bin / "python3").unlink()
            (host.bin / "python3").symlink_to("/usr/bin/python3")
        if as_another_user(host, ["uv", "python", "find", "--no-cache"]).code != 0:
            pytest.skip("uv or every Python lies in a folder of root's")
        yield host


def as_another_user(host: StandIn, command: list[str]) -> Answer:
    return host.run(
        [
            "/usr/bin/env",
            f"PATH={host.bin}",
            shutil.which("setpriv") or "setpriv",
            f"--reuid={ANOTHER_USER}",
            f"--regid={ANOTHER_USER}",
            "--clear-groups",
            *command,
        ],
        HOME="/",
    )


def assert_refused(answer: Answer, code: int, sentence: str, hint: str) -> None:
    """Require one message, one hint and nothing on stdout."""
    errors = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    hints = [line for line in answer.err.splitlines() if line.startswith(" hint: ")]
    assert (answer.code, len(errors), len(hints), answer.out) == (code, 1, 1, ""), answer.err
    assert sentence in errors[0]
    assert hint in hints[0]


@pytest.mark.parametrize("tool", ["uv", pytest.param("python", marks=pytest.mark.long)])
def test_an_index_that_does_not_answer(tmp_path: Path, tool: str) -> None:
    host = StandIn(tmp_path).give_tool(tool)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://jo:s3cret@127.0.0.1:{closed.getsockname()[1]}/simple"
        answer = host.setup(**NO_LINKS, PIP_INDEX_URL=url, PIP_RETRIES="1")
    assert_refused(answer, 4, "does not answer", "PIP_INDEX_URL=https://mirror/simple ./setup.sh")
    assert "s3cret" not in answer.err


def test_a_proxy_that_does_not_answer(host: StandIn) -> None:
    answer = host.setup(
        **NO_LINKS,
        PIP_INDEX_URL="https://index.invalid/simple",
        PIP_PROXY="http://jo:pw@127.0.0.1:9",
    )
    assert (answer.code, "pw@" in answer.err) == (4, False)
    assert "proxy" in answer.err.splitlines()[-1] + answer.err.splitlines()[-2]


@pytest.mark.parametrize("tool", ["uv", "python"])
def test_a_file_that_is_not_the_pinned_one(tmp_path: Path, tool: str) -> None:
    host = StandIn(tmp_path).give_tool(tool)
    (host.checkout / "requirements.txt").write_text(
        f"tiny==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8"
    )
    assert_refused(host.setup(), 4, "another file than requirements.txt pins", "cache")


@pytest.mark.parametrize("tool", ["uv", pytest.param("python", marks=pytest.mark.long)])
def test_an_index_without_the_pinned_version(tmp_path: Path, tool: str) -> None:
    host = StandIn(tmp_path).give_tool(tool)
    (host.checkout / "requirements.txt").write_text(
        f"tiny==2.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8"
    )
    assert_refused(host.setup(), 4, "has no file of a pinned version", "mirror")


def test_an_index_that_refuses_the_login(host: StandIn) -> None:
    with index(host.wheels, refuse=403) as (port, _):
        answer = host.setup(**NO_LINKS, PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple")
    assert_refused(answer, 4, "refuses these credentials", "index-url")


def test_a_folder_that_cannot_be_written(host: StandIn) -> None:
    read_only = mounting(
        f'mount --bind "{host.checkout}" "{host.checkout}"; mount -o remount,ro,bind "{host.checkout}"'
    )
    assert_refused(
        host.run([*read_only, *host.command()]),
        3,
        "cannot be written",
        "clone into a folder of your own",
    )
    assert not (host.checkout / ".venv").exists()
    assert host.setup().code == 0
    assert host.run([*read_only, *host.command()]).code == 0


def test_a_folder_mounted_noexec(host: StandIn) -> None:
    other = host.base / "noexec"
    fresh = mounting(
        f'mkdir "{other}"; mount -t tmpfs -o noexec none "{other}"; cp -r "{host.checkout}/." "{other}"'
    )
    answer = host.run([*fresh, str(host.bin / "bash"), str(other / "setup.sh")])
    assert_refused(answer, 3, f"{other} is mounted noexec", f"mount -o remount,exec '{other}'")


def test_a_ready_environment_remounted_noexec(host: StandIn) -> None:
    assert host.setup().code == 0
    there = host.checkout
    later = mounting(f'mount --bind "{there}" "{there}"; mount -o remount,noexec,bind "{there}"')
    answer = host.run([*later, str(host.bin / "bash"), *host.command()])
    assert_refused(answer, 3, "is mounted noexec", "mount -o remount,exec")


@pytest.mark.parametrize("size_kb", [60, 100, 140, 180])
def test_no_space_left(host: StandIn, size_kb: int) -> None:
    small = mounting(
        f'mkdir "{host.base}/small"; mount -t tmpfs -o size={size_kb}k none "{host.base}/small"; '
        f'cp -r "{host.checkout}/." "{host.base}/small"; dd if=/dev/zero of="{host.base}/small/fill" bs=1k || true'
    )
    answer = host.run([*small, str(host.base / "small/setup.sh")])
    assert_refused(answer, 4, "no space left", "TMPDIR=")
    assert f"{host.base}/small (0 MB left)" in answer.err


def test_without_a_home_everything_stays_below_the_prefix(host: StandIn) -> None:
    for home in (None, "/", "/nonexistent"):
        shutil.rmtree(host.checkout / ".venv", ignore_errors=True)
        answer = host.setup(HOME=home)
        assert answer.code == 0, answer.err
        assert (host.checkout / "envs/cache/uv").is_dir()


def test_a_user_id_without_an_entry(shared: StandIn) -> None:
    os.chown(shared.checkout, ANOTHER_USER, ANOTHER_USER)
    answer = as_another_user(shared, shared.command())
    assert answer.code == 0, answer.err
    assert f'"home": "{shared.checkout}/envs/home"' in answer.out


def test_an_environment_with_a_python_in_the_owners_home(shared: StandIn) -> None:
    assert shared.setup().code == 0
    assert as_another_user(shared, shared.command()).code == 0
    home, python = shared.base / "home of root", shared.checkout / ".venv/bin/python"
    home.mkdir(mode=0o700)
    (home / "python").symlink_to(python.resolve())
    python.unlink()
    python.symlink_to(home / "python")
    sentence = f"its Python ({home}/python) cannot be reached"
    assert_refused(
        as_another_user(shared, shared.command()),
        3,
        sentence,
        "UV_PYTHON_PREFERENCE=only-system ./setup.sh",
    )
    assert shared.setup().code == 0, "its owner goes on as before"


def test_files_of_another_user_are_not_overwritten(shared: StandIn) -> None:
    assert shared.setup().code == 0
    shared.checkout.chmod(0o777)
    assert as_another_user(shared, shared.command()).code == 0
    (shared.checkout / "requirements.txt").write_text("tiny==2.0\n", encoding="utf-8")
    assert_refused(
        as_another_user(shared, shared.command()),
        3,
        "belongs to another user (user id 0)",
        "sudo rm -rf",
    )
    shutil.rmtree(shared.checkout / ".venv.lock")
    assert_refused(
        as_another_user(shared, shared.command()),
        3,
        "belongs to another user (user id 0)",
        "sudo rm -rf",
    )
