"""Tools for making an environment are found; missing ones are named with the command that helps."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.setup.stand_in import StandIn, index, mounting, script, the_uv

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.environment


@pytest.fixture
def host(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def old_python(host: StandIn, version: str, venv: str) -> None:
    """Put a Python on the PATH that only answers the question of setup.sh."""
    script(host.bin / "python3", f"#!/bin/sh\necho {version} {venv} /usr/bin/python{version}\n")


def test_python_with_venv_is_enough(host: StandIn) -> None:
    answer = host.give_python().setup("plan")
    assert (answer.code, json.loads(answer.out)["args"]) == (0, ["plan"]), answer.err


def test_no_tool_at_all(host: StandIn) -> None:
    answer = host.setup()
    assert answer.code == 3
    assert "error: Python 3 is not installed, and uv, curl and wget are missing too" in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("version", "venv", "message"),
    [
        ("3.8", "venv", "Python 3.8 (python3) is too old"),
        ("3.11", "bare", "Python 3.11 (python3) has no venv"),
    ],
)
def test_an_unsuitable_python_is_named(
    host: StandIn, version: str, venv: str, message: str
) -> None:
    old_python(host, version, venv)
    answer = host.setup()
    assert (answer.code, message in answer.err) == (3, True), answer.err


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian\nVERSION_ID=12\n", "apt-get install python3 python3-venv"),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="20.04"\n', "apt-get install curl ca-certificates"),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', "apt-get install python3 python3-venv"),
        ('ID=debian\nVERSION_ID="11"\n', "apt-get install curl ca-certificates"),
        ('ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="8.10"\n', "dnf install python3.11"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper install python311"),
        ("ID=alpine\nVERSION_ID=3.22.1\n", "apk add python3"),
        ("ID=arch\n", "pacman -S python"),
        ("ID=something\n", "install Python 3.10 or newer"),
    ],
)
def test_the_hint_is_the_command_of_the_distribution(
    host: StandIn, release: str, command: str
) -> None:
    (host.base / "os-release").write_text(release, encoding="utf-8")
    old_python(host, "3.9", "venv")
    with_it = mounting(f"mount --bind '{host.base}/os-release' /etc/os-release")
    answer = host.run([*with_it, *host.command()])
    assert (answer.code, command in answer.err) == (3, True), answer.err


def installer(host: StandIn) -> str:
    """Put a stand-in of uv's installer on the index and return its checksum."""
    text = f'#!/bin/sh\nln -s {the_uv()} "$UV_UNMANAGED_INSTALL/uv"\n'
    script(host.wheels / "install.sh", text)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("downloader", ["curl", "wget"])
@pytest.mark.parametrize("genuine", [True, False])
def test_a_downloader_is_enough_if_the_checksum_of_the_installer_matches(
    host: StandIn, downloader: str, genuine: bool
) -> None:
    if not shutil.which(downloader):
        pytest.skip(f"this machine has no {downloader}")
    python = host.give(downloader).give_python().bin / "python3"
    python.rename(host.bin / "whole")
    script(
        python,
        f'#!/bin/sh\ncase "$*" in *ensurepip*) echo 3.11 bare x ;; *) exec {host.bin}/whole "$@" ;; esac\n',
    )
    known = installer(host) if genuine else hashlib.sha256(installer(host).encode()).hexdigest()
    with index(host.wheels) as (port, _):
        answer = host.setup(
            "plan",
            VLLM_READY_UV_INSTALLER_URL=f"http://127.0.0.1:{port}/install.sh",
            VLLM_READY_UV_INSTALLER_SHA256=known,
        )
    assert (host.checkout / "envs/tools/uv").exists() is genuine, answer.err
    if genuine:
        assert (answer.code, json.loads(answer.out)["args"]) == (0, ["plan"]), answer.err
    else:
        assert (answer.code, "does not match the checksum in setup.sh" in answer.err) == (
            4,
            True,
        ), answer.err


def test_uv_without_a_suitable_python(host: StandIn) -> None:
    (host.give_uv().bin / "python3").unlink()
    answer = host.setup()
    assert (answer.code, "uv finds no Python 3.10 to 3.14 and is" in answer.err) == (3, True), (
        answer.err
    )


def test_a_uv_without_index_variables_is_not_used(host: StandIn) -> None:
    script(host.bin / "uv", "#!/bin/sh\necho uv 0.4.18\n")
    answer = host.setup()
    assert (answer.code, "uv, curl and wget are missing" in answer.err) == (3, True), answer.err


@pytest.mark.parametrize(("tool", "form"), [("python", "two words"), ("uv", "one word")])
def test_a_bundle_brings_the_control_environment_too(tmp_path: Path, tool: str, form: str) -> None:
    host = StandIn(tmp_path).give_tool(tool)
    bundle = host.base / "my bündle, 100%20 #1"
    (bundle / "control").parent.mkdir()
    host.wheels.rename(bundle / "control")
    argv = (
        ["--bundle", "my bündle, 100%20 #1"]
        if form == "two words"
        else ["--bundle=my bündle, 100%20 #1"]
    )
    nowhere = {
        "PIP_NO_INDEX": None,
        "PIP_FIND_LINKS": None,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    }
    answer = host.setup("up", *argv, **nowhere)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["args"] == ["up", *argv]


def test_a_folder_that_is_not_a_bundle(tmp_path: Path) -> None:
    answer = StandIn(tmp_path).give_python().setup("up", "--bundle", str(tmp_path))
    assert (answer.code, answer.err.splitlines()[0]) == (2, f"error: {tmp_path} is not a bundle")
