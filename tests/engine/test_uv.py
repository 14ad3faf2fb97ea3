"""The environment of uv: planned and configured sources, nothing meant for other environments."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from provision.doors import sessions
from provision.engine.uv import connection, environment
from provision.plan._model import Package
from provision.settings import load
from tests.engine.small_index import PLAN, TORCH, VLLM, plan

NOTHING: dict[str, dict[str, str]] = {"pip": {}, "uv": {}}
CU129 = PLAN.packages | {
    "torch": msgspec.structs.replace(TORCH, version="2.13.0+cu129", source="pytorch"),
    "vllm": msgspec.structs.replace(VLLM, version="0.32.0+cu129", source="vllm", distribution=None),
}


def env(
    *changes: str, packages: object = PLAN.packages, **installers: dict[str, str]
) -> dict[str, str]:
    planned = plan(packages=packages)
    return environment(load(None, "config.yaml", changes), planned, NOTHING | installers, "/envs")


def test_only_necessary_variables_are_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "PIP_CONSTRAINT",
        "UV_CONSTRAINT",
        "UV_TARGET",
        "PYTHONPATH",
        "LD_PRELOAD",
        "VIRTUAL_ENV",
        "HF_TOKEN",
    ):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("UV_INDEX_OURS_PASSWORD", "hunter2")
    environ = env()
    assert "elsewhere" not in environ.values()
    assert environ["HTTPS_PROXY"] == "http://proxy:1"
    assert environ["UV_INDEX_OURS_PASSWORD"] == "hunter2"
    assert environ["PATH"] == os.environ["PATH"]
    assert environ["UV_NO_CONFIG"] == "1"
    assert environ["UV_PYTHON_INSTALL_DIR"] == "/envs/pythons"


def test_only_indexes_that_the_plan_uses_are_named() -> None:
    assert "UV_INDEX" not in env()
    environ = env(packages=CU129)
    assert (
        environ["UV_INDEX"]
        == "https://wheels.vllm.ai/0.32.0/cu129 https://download.pytorch.org/whl/cu129"
    )
    assert environ["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_flash_attention_3_has_a_folder_for_each_cuda() -> None:
    three = CU129 | {
        "flash-attn": Package(version="3.0.0", source="pytorch", distribution="flash_attn_3")
    }
    beside = {
        "torch": msgspec.structs.replace(TORCH, version="2.14.0", source="pypi"),
        "vllm": VLLM,
    }
    for packages, cuda, folders in (
        (three, "12.9", ["cu129", "cu126"]),
        (three | beside, "13.0", ["cu130"]),
    ):
        environ = environment(
            load(None, "c", []), plan(packages=packages, cuda=cuda), NOTHING, "/envs"
        )
        index = [index for index in environ["UV_INDEX"].split() if "pytorch" in index]
        assert index == [f"https://download.pytorch.org/whl/{folder}" for folder in folders]


def test_every_source_may_have_a_mirror() -> None:
    mirrors = (
        "sources.pypi=https://m/pypi",
        "sources.pytorch=https://m/torch/",
        "sources.vllm=https://m/vllm",
    )
    environ = env(*mirrors, packages=CU129)
    assert environ["UV_DEFAULT_INDEX"] == "https://m/pypi"
    assert environ["UV_INDEX"] == "https://m/vllm/0.32.0/cu129 https://m/torch/cu129"


def test_a_release_on_github_is_found_through_its_list_of_files() -> None:
    github = CU129 | {
        "vllm": msgspec.structs.replace(VLLM, version="0.32.0+cu129", source="github")
    }
    assert env(packages=github)["UV_FIND_LINKS"].endswith(
        "/vllm-project/vllm/releases/expanded_assets/v0.32.0"
    )


def test_settings_of_pip_reach_uv() -> None:
    environ = env(
        pip={
            "index-url": "https://user:pw@mirror/simple",
            "extra-index-url": "https://a/simple\nhttps://b/simple",
            "find-links": "/wheels\n~/more",
            "cert": "/ca.pem",
            "client-cert": "/me.pem",
            "trusted-host": "a b",
            "proxy": "http://p:1",
        }
    )
    assert environ["UV_DEFAULT_INDEX"] == "https://user:pw@mirror/simple"
    assert environ["UV_INDEX"] == "https://a/simple https://b/simple"
    assert environ["UV_FIND_LINKS"] == f"/wheels,{Path('~/more').expanduser()}"
    assert (environ["SSL_CERT_FILE"], environ["SSL_CLIENT_CERT"]) == ("/ca.pem", "/me.pem")
    assert (environ["UV_INSECURE_HOST"], environ["ALL_PROXY"]) == ("a b", "http://p:1")
    assert environ["UV_INDEX_STRATEGY"] == "unsafe-best-match", "as pip treats its extra indexes"


def test_settings_of_uv_win_over_those_of_pip() -> None:
    environ = env(
        pip={"index-url": "https://pip/simple", "extra-index-url": "https://pip-more/simple"},
        uv={
            "default-index": "https://uv/simple",
            "index": "ours=https://uv-more/simple",
            "cert": "/uv.pem",
        },
    )
    assert environ["UV_DEFAULT_INDEX"] == "https://uv/simple"
    assert environ["UV_INDEX"] == "ours=https://uv-more/simple"
    assert environ["SSL_CERT_FILE"] == "/uv.pem"
    assert "UV_INDEX_STRATEGY" not in environ, "a configured uv keeps its own strategy"


def test_a_disabled_pypi_is_never_asked() -> None:
    assert env("sources.pypi=false")["UV_DEFAULT_INDEX"] == "file:///envs/no-index"
    assert env(pip={"no-index": "true"})["UV_DEFAULT_INDEX"] == "file:///envs/no-index"
    assert (
        env("sources.pypi=false", packages=CU129)["UV_DEFAULT_INDEX"]
        == "https://wheels.vllm.ai/0.32.0/cu129"
    )
    assert "UV_DEFAULT_INDEX" not in env()


def test_our_own_requests_use_the_connection_of_uv(tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.touch()
    made = connection(
        {
            "UV_DEFAULT_INDEX": "https://me:p%40ss@mirror.example/simple",
            "UV_INDEX": "corp=https://us:pw@corp.example/simple our-own=https://own.example/simple",
            "UV_INDEX_OUR_OWN_USERNAME": "we",
            "UV_INDEX_OUR_OWN_PASSWORD": "hunter2",
            "UV_FIND_LINKS": "/wheels,https://robot@files.example/wheels",
            "ALL_PROXY": "http://proxy:3128",
            "SSL_CERT_FILE": str(trusted),
            "UV_INSECURE_HOST": "files.example other.example:8443",
        }
    )
    assert made.logins == {
        "https://mirror.example": ("me", "p@ss"),
        "https://files.example": ("robot", ""),
        "https://corp.example": ("us", "pw"),
        "https://own.example": ("we", "hunter2"),
    }
    ours = sessions.session("https://mirror.example/a.whl", made)
    assert (ours.auth, ours.verify, ours.proxies["https"]) == (
        ("me", "p@ss"),
        str(trusted),
        "http://proxy:3128",
    )
    assert sessions.session("https://me@mirror.example:443/a.whl", made).auth == ("me", "p@ss")
    for other in (
        "https://elsewhere.example",
        "http://mirror.example",
        "https://mirror.example:8443",
    ):
        assert sessions.session(f"{other}/a.whl", made).auth is None
    assert sessions.session("https://files.example/a.whl", made).verify is False
    assert sessions.session("https://other.example:8443/a.whl", made).verify is False
    assert sessions.session("https://other.example/a.whl", made).verify
