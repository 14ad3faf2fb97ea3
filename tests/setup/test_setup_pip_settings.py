"""Settings of pip reach uv; variables that misdirect an installer reach neither."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING

import certifi
import pytest

from tests.setup.stand_in import StandIn, index, make_wheel, script, the_uv

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.environment

NOTHING: dict[str, str | None] = {
    "PIP_NO_INDEX": None,
    "PIP_FIND_LINKS": None,
    "PIP_CONFIG_FILE": None,
}


@pytest.fixture
def host(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path).give_uv()


def configure(host: StandIn, text: str, where: str = "home/.config/pip/pip.conf") -> None:
    path = host.base / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "[global]\nno-index = true\nfind-links = {wheels}\n",
        "[install]\nno_index: yes\nFind_Links:\n    /nowhere/at/all\n    # a word on it\n\n    {wheels}\n",
        "# kept by the site\r\n[global]\r\nno-index=1\r\nfind-links = ~/../wheels\r\n[list]\r\nformat = columns",
        "[global]\nfind-links = /nowhere\nno-index = true\n[install]\nfind-links = {wheels}\n",
    ],
)
@pytest.mark.parametrize(
    "where", ["home/.config/pip/pip.conf", "home/.pip/pip.conf", "xdg/pip/pip.conf", "named"]
)
def test_a_find_links_folder_in_a_pip_conf(host: StandIn, text: str, where: str) -> None:
    if "/nowhere" in text:
        (host.base / "empty").mkdir()
        text = text.replace("/nowhere/at/all", str(host.base / "empty"))
    configure(host, text.format(wheels=host.wheels), where)
    env = NOTHING | {"XDG_CONFIG_DIRS": f"/none:{host.base}/xdg"}
    answer = host.setup(
        **(env | ({"PIP_CONFIG_FILE": str(host.base / where)} if where == "named" else {}))
    )
    assert answer.code == 0, answer.err
    assert "using pip's settings for uv: find-links, no-index" in answer.err


def test_an_index_gets_its_login_which_is_never_shown(host: StandIn) -> None:
    with index(host.wheels) as (port, asked):
        configure(host, f"[global]\nindex-url = http://jo:s3cret@127.0.0.1:{port}/simple/\n")
        answer = host.setup(**NOTHING)
    assert answer.code == 0, answer.err
    basic = base64.b64encode(b"jo:s3cret").decode()
    assert any(line.startswith("/simple/tiny/") and basic in line for line in asked), asked
    assert "s3cret" not in answer.err


def test_every_extra_index_is_asked(host: StandIn) -> None:
    make_wheel(host.base / "other", "tiny", {"tiny.py": "SEEN = 'not the pinned one'\n"})
    old = host.base / "other/tiny-1.0-py3-none-any.whl"
    old.rename(old.with_name("tiny-0.9-py3-none-any.whl"))
    with index(host.base / "other") as (first, asked), index(host.wheels) as (second, _):
        configure(
            host,
            f"[global]\nindex-url = http://127.0.0.1:{first}/simple\n"
            f"extra-index-url =\n    http://127.0.0.1:{first}/simple/\n    http://127.0.0.1:{second}/simple\n",
        )
        answer = host.setup(**NOTHING)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["seen"] == "the pinned one"
    assert asked


def test_variables_win_over_files_and_those_of_uv_win_over_both(host: StandIn) -> None:
    with index(host.wheels) as (port, _):
        good, dead = f"http://127.0.0.1:{port}/simple", "http://127.0.0.1:9/simple"
        configure(host, f"[global]\nindex-url = {dead}\n")
        assert host.setup(**(NOTHING | {"PIP_INDEX_URL": good})).code == 0
        (host.checkout / ".venv/.ready").unlink()
        assert host.setup(**(NOTHING | {"UV_DEFAULT_INDEX": good, "PIP_INDEX_URL": dead})).code == 0
        (host.checkout / ".venv/.ready").unlink()
        assert host.setup(**NOTHING, UV_CACHE_DIR=str(host.base / "cold")).code == 4


def test_a_no_index_that_is_off_is_off(host: StandIn) -> None:
    with index(host.wheels) as (port, _):
        configure(host, f"[global]\nno-index = false\nindex-url = http://127.0.0.1:{port}/simple\n")
        answer = host.setup(**NOTHING)
    assert answer.code == 0, answer.err


def test_a_proxy_without_a_scheme_is_used(host: StandIn) -> None:
    with index(host.wheels) as (port, asked):
        configure(
            host, f"[global]\nproxy = 127.0.0.1:{port}\nindex-url = http://index.invalid/simple\n"
        )
        answer = host.setup(**NOTHING)
    assert answer.code == 0, answer.err
    assert any(line.startswith("http://index.invalid/simple/tiny/") for line in asked), asked


def test_the_environment_of_uv(host: StandIn) -> None:
    (host.bin / "uv").unlink()
    script(host.bin / "uv", f'#!/bin/sh\nexport -p >"{host.base}/seen"\nexec {the_uv()} "$@"\n')
    relative = host.base / "ca.pem"
    shutil.copy(certifi.where(), relative)
    answer = host.setup(
        PIP_CERT="ca.pem", PIP_TRUSTED_HOST="a.example b.example:8443", PIP_CONSTRAINT="none.txt"
    )
    assert answer.code == 0, answer.err
    seen = (host.base / "seen").read_text(encoding="utf-8")
    for wanted in (
        f"SSL_CERT_FILE='{relative}'",
        "UV_INSECURE_HOST='a.example b.example:8443'",
        "UV_LINK_MODE='copy'",
        "/envs/pythons'",
    ):
        assert wanted in seen
    assert "PIP_CONSTRAINT" not in seen


@pytest.mark.parametrize("tool", ["uv", "python"])
def test_variables_that_misdirect_an_installer_are_removed(tmp_path: Path, tool: str) -> None:
    host = StandIn(tmp_path).give_tool(tool)
    astray = str(host.base / "astray")
    answer = host.setup(
        PIP_CONSTRAINT=f"{astray}.txt",
        PIP_TARGET=astray,
        PIP_PREFIX=astray,
        PIP_ROOT=astray,
        PIP_USER="1",
        PIP_REQUIRE_VIRTUALENV="1",
        PIP_PYTHON="/nowhere/python",
        PIP_DRY_RUN="1",
    )
    assert (answer.code, json.loads(answer.out)["seen"]) == (0, "the pinned one"), answer.err
    assert not (host.base / "astray").exists()


@pytest.mark.parametrize("option", ["target", "prefix", "root"])
def test_a_place_in_a_pip_conf_is_not_that_of_our_packages(tmp_path: Path, option: str) -> None:
    host = StandIn(tmp_path).give_python()
    astray = host.base / "astray"
    configure(
        host,
        f"[global]\nno-index = true\nfind-links = {host.wheels}\n[install]\n{option} = {astray}\n",
    )
    answer = host.setup(**NOTHING)
    assert (answer.code, json.loads(answer.out)["seen"]) == (0, "the pinned one"), answer.err
    assert not astray.exists()


@pytest.mark.parametrize("option", ["target", "prefix"])
def test_a_place_in_a_uv_toml_is_not_that_of_our_packages(host: StandIn, option: str) -> None:
    astray = host.base / "astray"
    configure(host, f'[pip]\n{option} = "{astray}"\n', "home/.config/uv/uv.toml")
    answer = host.setup()
    assert (answer.code, json.loads(answer.out)["seen"]) == (0, "the pinned one"), answer.err
    assert not astray.exists()


def test_files_for_another_python_are_not_accepted(host: StandIn) -> None:
    """Settings of uv may ask for them; every verb would fail with a missing module."""
    wheel = {"core/__init__.py": "", "core/_core.cpython-399-x86_64-linux-gnu.so": "of another"}
    pins = host.checkout / "requirements.txt"
    pins.write_text(pins.read_text() + make_wheel(host.wheels, "core", wheel))
    answer = host.setup()
    assert answer.code == 4
    assert "is for another Python or system; look at [pip] in uv.toml" in answer.err
