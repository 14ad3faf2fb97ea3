"""Run `up` as a user does, with a stored resolution of small wheels: no network, some seconds."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from uv import find_uv_bin

from provision.engine import environments, resolution_cache, resolve
from provision.host import record
from provision.host._model import Host
from provision.settings import Settings
from provision.steps.model import Lock
from tests.doors.local_server import LocalServer, Resource
from tests.engine.small_index import plan, stock

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PLAN = plan(python=PYTHON, disk_mb=0, checks=("distributions_as_locked", "record_whole"))
# Started as by setup.sh. The checkout is a folder of the test, so pages of real runs stay.
CODE = """import sys; checkout = sys.argv.pop(2); sys.path.insert(0, sys.argv.pop(1))
from provision.session import inputs
inputs.checkout = lambda: checkout
from provision.cli import main
main()"""


class Small(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of one test: everything that a run may write lies below one of them."""

    folder: Path
    wheels: Path
    lock: Lock

    @property
    def prefix(self) -> Path:
        return self.folder / "envs"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def current(self) -> Path:
        return self.prefix / os.readlink(self.prefix / environments.CURRENT)

    @property
    def packages(self) -> Path:
        return next(self.current.glob("lib/python*/site-packages"))

    @property
    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.folder / "home"), "UV_CACHE_DIR": str(self.folder / "cache")}
        nowhere = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": (self.folder / "no-index").as_uri(),
        }
        return {
            "PATH": os.environ["PATH"],
            **home,
            **nowhere,
            "PIP_FIND_LINKS": self.wheels.as_uri(),
        }

    def with_wheel(self, path: Path) -> Small:
        """Return the lock with this file in place of the published one of that name."""
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        pins = []
        for pin in self.lock.pins:
            wheel = (
                msgspec.structs.replace(pin.wheel, sha256=sha256)
                if pin.wheel.file == path.name
                else pin.wheel
            )
            pins.append(msgspec.structs.replace(pin, wheel=wheel))
        return msgspec.structs.replace(self, lock=Lock(pins=tuple(pins)))

    def from_server(self, server: LocalServer) -> Small:
        """The same wheels, as they are now in their folder, asked of a server."""
        for path in self.wheels.iterdir():
            server.resources[f"/{quote(path.name)}"] = Resource(path.read_bytes())
        return msgspec.structs.replace(self, lock=at(server.url(""), self.lock))

    def wish(self, prefix: Path | None = None, **changes: Any) -> None:
        """Save a resolution as `up` does, so that the same request continues from it."""
        seen = Host(
            record.record(
                network=False, paths={}, sources={}, facts=resolution_cache.FACTS
            ).readings
        )
        wish = resolution_cache.wish(seen, Settings())
        made = msgspec.structs.replace(PLAN, **changes)
        known = resolution_cache.Resolution(
            wish=wish,
            tool=resolution_cache.tool(),
            plan=made,
            lock=self.lock,
            host_python=os.path.realpath(sys.executable),
        )
        resolution_cache.save(prefix or self.prefix, known)

    def argv(self, *words: str, code: str = CODE) -> list[str]:
        return [sys.executable, "-I", "-B", "-c", code, str(ROOT), str(self.folder), *words]

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, code: str = CODE, **options: Any
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        done = subprocess.run(
            self.argv(*words, code=code),
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            **options,
        )
        return done.returncode, done.stdout, done.stderr


def at(place: str, lock: Lock) -> Lock:
    """The lock with its wheels at another address."""
    pins = []
    for pin in lock.pins:
        wheel = msgspec.structs.replace(pin.wheel, url=f"{place}/{quote(pin.wheel.file)}")
        pins.append(msgspec.structs.replace(pin, wheel=wheel))
    return Lock(pins=tuple(pins))


def locked(folder: Path) -> Lock:
    """Return the small wheels in a folder, and the lock of those that the plan needs."""
    stock(folder / "wheels")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "UV_CACHE_DIR": str(folder / "cache")}
    env |= {
        "UV_FIND_LINKS": str(folder / "wheels"),
        "UV_DEFAULT_INDEX": (folder / "no-index").as_uri(),
    }
    result = resolve.resolve(PLAN, Settings(), find_uv_bin(), env, folder / "asked")
    assert isinstance(result, resolve.ResolvedLock)
    return result.lock
