"""A checkout of its own with a small environment wanted in it, for the verbs that bring one up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from uv import find_uv_bin

from provision import cli
from provision.engine import bring_up, environments, resolution_cache, resolve
from provision.engine.resolution_cache import Resolution
from provision.host import record
from provision.host._model import Host
from provision.plan._model import Decision
from provision.session import inputs
from provision.settings import Settings
from tests.engine.small_index import plan, stock

Snapshot = dict[str, tuple[int, int]]


class Place(msgspec.Struct, frozen=True):
    """A checkout of its own, where a small environment is wanted; it needs no network."""

    folder: Path
    wanted: Resolution

    @property
    def prefix(self) -> Path:
        return self.folder / "envs"

    def snapshot(self) -> Snapshot:
        return {
            str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino)
            for path in self.folder.rglob("*")
        }

    def generations(self) -> list[str]:
        return [environment.id for environment in environments.list_environments(self.prefix)]


@pytest.fixture(autouse=True)
def _programs_asked_once(programs_asked_once: None) -> None:
    """Ask the programs of this host once: no test of a verb depends on the answers."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    stock(tmp_path / "wheels")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setattr(inputs, "checkout", lambda: str(tmp_path))
    monkeypatch.setattr(bring_up, "own_uv", find_uv_bin)
    made = plan(
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        platform="x86_64-manylinux_2_17",
        disk_mb=1,
        checks=("distributions_as_locked", "record_whole"),
        decisions=tuple(
            Decision(subject=name, chosen="", because="it is small")
            for name in ("vllm", "torch", "python", "profile")
        ),
    )
    env = {**os.environ, "UV_DEFAULT_INDEX": (tmp_path / "no-index").as_uri()}
    result = resolve.resolve(made, Settings(), find_uv_bin(), env, tmp_path / "asked")
    assert isinstance(result, resolve.ResolvedLock)
    seen = Host(
        record.record(network=False, paths={}, sources={}, facts=resolution_cache.FACTS).readings
    )
    wish = resolution_cache.wish(seen, Settings())
    here = Resolution(
        wish=wish,
        tool=resolution_cache.tool(),
        plan=made,
        lock=result.lock,
        host_python=os.path.realpath(sys.executable),
    )
    resolution_cache.save(tmp_path / "envs", here)
    return Place(tmp_path, here)


@pytest.fixture
def output_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*argv: str) -> str:
        capsys.readouterr()
        assert cli.run(list(argv)) == 0
        return capsys.readouterr().out

    return run
