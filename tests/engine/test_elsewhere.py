"""An environment for another host becomes current if only checks that need that host are open."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from provision import cli
from provision.engine import environments, resolution_cache, verified
from provision.host import from_text
from provision.plan._model import UsedGpus
from provision.session import foreign_python, inputs
from provision.settings import load
from tests.engine.small_index import plan
from tests.faults.small_up import PYTHON, locked

H100 = f'gpus: [{{name: NVIDIA H100 80GB HBM3}}]\ndriver: "580.65.06"\npython: "{PYTHON}"\nglibc: "2.36"\nmachine: x86_64\n'
PROVABLE = ("distributions_as_locked", "record_whole")


@pytest.fixture
def argv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the arguments to provision for an H100; the plan is stored and the wheels are toys."""
    if not any(map(shutil.which, ("cc", "gcc"))):
        pytest.skip("there is no C compiler, without which no environment for a GPU is built")
    (tmp_path / "h100.yaml").write_text(H100)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(inputs, "checkout", lambda: str(tmp_path))
    return ["provision", "--yes", "--quiet", "--host", str(tmp_path / "h100.yaml")]


def store_plan(folder: Path, *checks: str) -> None:
    new_plan = plan(
        python=PYTHON, disk_mb=0, profile="cuda", gpus=UsedGpus(used=("0",)), checks=checks
    )
    wish = resolution_cache.wish(from_text.parse(H100, "h100.yaml"), load(None, "config.yaml", ()))
    lock, python = locked(folder / "wheels"), os.path.realpath(sys.executable)
    known = resolution_cache.Resolution(
        wish=wish, tool=resolution_cache.tool(), plan=new_plan, lock=lock, host_python=python
    )
    resolution_cache.save(folder / "envs", known)


def test_checks_that_need_the_host_are_owed(
    tmp_path: Path, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store_plan(tmp_path, *PROVABLE, "vllm_generates")
    assert cli.run([*argv, "--json"]) == 5
    report = msgspec.json.decode(capsys.readouterr().out)
    assert report["verdict"] == "undecided"
    assert report["owed"] == ["vllm_generates"]
    current = environments.current_id(tmp_path / "envs")
    assert current == report["generation"]
    assert verified.read_report(tmp_path / "envs" / str(current)) is None, "not verified yet"
    summary = (tmp_path / "logs" / "summary.txt").read_text()
    assert "owed     vllm_generates: to be proved on the target host" in summary


def test_an_environment_that_fails_a_check_does_not_become_current(
    tmp_path: Path, argv: list[str]
) -> None:
    store_plan(tmp_path, *PROVABLE, "vllm_generates", "extensions_import")
    assert cli.run(argv) == 1, "the toy has no torch to import"
    assert environments.current_id(tmp_path / "envs") is None


@pytest.mark.skipif(foreign_python.has_gpus(), reason="this host has a GPU")
def test_a_check_on_a_host_without_gpu_is_skipped(
    tmp_path: Path, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store_plan(tmp_path, *PROVABLE, "vllm_generates")
    cli.run(argv)
    capsys.readouterr()
    assert cli.run(["check", "vllm_generates", "--json"]) == 5
    (result,) = msgspec.json.decode(capsys.readouterr().out)["checks"]
    assert result["summary"] == "needs 1 GPU; this host has none"
