"""Thirty toy wheels, a lock of them, and four steps that install them with the real uv."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from provision.doors import interruption
from provision.engine import apply, environments, fingerprint, locks
from provision.events import StepResult, Subscriber, ignore
from provision.plan._model import FlashAttn, Plan, UsedGpus
from provision.steps.model import (
    Action,
    Lock,
    Pin,
    Run,
    Site,
    Step,
    Wheel,
    Write,
    fetch,
    requirements,
)

WHEELS = 30
FILES = 40
CHILD = Path(__file__).with_name("child.py")
PLAN = Plan(
    profile="cpu",
    python="3",
    platform="linux",
    gpus=UsedGpus(),
    cuda=None,
    packages={},
    flash_attn=FlashAttn(mode="none", flavour="2", arches=(), why="synthetic"),
    attention=(),
    decisions=(),
    uploaded_before="",
    download_mb=1,
    disk_mb=1,
    checks=(),
    warnings=(),
    advice=(),
)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The folders in which one test works."""

    prefix: Path
    wheels: Path
    cache: Path
    uv: str
    logs: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.cache),
            "UV_CACHE_DIR": str(self.cache),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def site(self, generation: str = "-") -> Site:
        return Site(
            generation=str(self.prefix / generation),
            prefix=str(self.prefix),
            uv=self.uv,
            host_python=sys.executable,
        )

    @property
    def current(self) -> Path:
        return self.prefix / os.readlink(self.prefix / "current")

    def packages(self, generation: Path | None = None) -> Path:
        return next((generation or self.current).glob("lib/python*/site-packages"))


def make_wheels(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(WHEELS):
        for version in ("1.0", "2.0"):
            make_wheel(folder, f"toy{number:02}", version)


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: int = FILES,
    more: Mapping[str, str] | None = None,
    lies: str = "",
) -> Path:
    """Make one wheel; for the path `lies` its RECORD is wrong, as in some published wheels."""
    info = f"{name}-{version}.dist-info"
    contents = {
        f"{name}/part{part:02}.py": f"# {name} {version} {part}\n" * (part + 1)
        for part in range(files)
    }
    contents[f"{name}/__init__.py"] = f"version = {version!r}\n"
    contents[f"{name}/big.bin"] = f"{name}{version}" * 2_000
    contents |= more or {}
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    contents[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    contents[f"{info}/entry_points.txt"] = f"[console_scripts]\n{name} = {name}:version\n"
    rows = []
    for path, text in contents.items():
        listed = (f"{text}, before it was stripped" if path == lies else text).encode()
        rows.append(f"{path},sha256={_digest(listed)},{len(listed)}")
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def lock(wheels: Path, version: str) -> Lock:
    pins = []
    for number in range(WHEELS):
        name = f"toy{number:02}"
        path = wheels / f"{name}-{version}-py3-none-any.whl"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        pins.append(Pin(name=name, version=version, wheel=Wheel(url=path.as_uri(), sha256=digest)))
    return Lock(pins=tuple(pins))


def steps() -> list[Step]:
    def install(site: Site, file: str, pins: tuple[Pin, ...]) -> tuple[Action, ...]:
        path = f"{site.state}/{file}"
        listed = Write(title=file, path=path, text=requirements(pins))
        return fetch(pins, site), listed, Run(title="install", argv=site.install(path))

    def venv(_: Plan, __: Lock, site: Site) -> tuple[Action, ...]:
        argv = (
            site.uv,
            "venv",
            "--no-project",
            "--allow-existing",
            "--python",
            site.host_python,
            site.generation,
        )
        return (Run(title="environment", argv=argv),)

    def half(_: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
        return install(site, "half.txt", lock.pins[: WHEELS // 2])

    def everything(_: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
        as_data = msgspec.json.encode(lock).decode()
        return *install(site, "lock.txt", lock.pins), Write(
            title="lock", path=f"{site.state}/lock.json", text=as_data
        )

    def launcher(_: Plan, __: Lock, site: Site) -> tuple[Action, ...]:
        return (
            Write(
                title="launcher",
                path=f"{site.generation}/bin/toy00",
                text="#!/bin/sh\n",
                mode=0o755,
            ),
        )

    def half_names(_: Plan, lock: Lock) -> tuple[str, ...]:
        return tuple(pin.name for pin in lock.pins[: WHEELS // 2])

    def all_names(_: Plan, lock: Lock) -> tuple[str, ...]:
        return tuple(pin.name for pin in lock.pins)

    return [
        Step(number=30, name="python", title="Environment", why="", actions=venv),
        Step(number=40, name="half", title="Half", why="", actions=half, leaves=half_names),
        Step(number=50, name="all", title="All", why="", actions=everything, leaves=all_names),
        Step(number=80, name="launchers", title="Launcher", why="", actions=launcher),
    ]


def provision(
    world: World,
    version: str,
    events: Subscriber = ignore,
    only: int | None = None,
    start: int | None = None,
) -> list[StepResult]:
    """Provision as the command line does: lock, find or begin the environment, build, switch."""
    locked, all_steps = lock(world.wheels, version), steps()
    with interruption.as_keyboard_interrupt(), locks.hold(world.prefix, "provision") as handle:
        target = fingerprint.target_fingerprint(PLAN, locked, world.site(), all_steps)
        place = environments.find_or_begin(world.prefix, target, environments.new_id())
        results = apply.build(
            PLAN,
            locked,
            world.site(place.id),
            all_steps,
            events,
            world.logs,
            only,
            start,
            environment=world.environment,
            keep_open=(handle,),
        )
        if (Path(place.path) / environments.STATE / environments.COMPLETE).exists():
            environments.switch(world.prefix, place.id)
        return results


def start(world: World, version: str, die_at: int = 0) -> subprocess.Popen[bytes]:
    """Provision in a process group of its own, so that it can be killed.

    With `die_at` it kills itself before that rename, link or sync.
    """
    return subprocess.Popen(
        [
            sys.executable,
            str(CHILD),
            msgspec.json.encode(world, enc_hook=str).decode(),
            version,
            str(die_at),
        ],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def differences(generation: Path, lock: Lock) -> list[str]:
    """List what is wrong with an environment: compare every RECORD line, without the engine."""
    wrong = []
    site = next(generation.glob("lib/python*/site-packages"), None)
    if site is None:
        return ["no site-packages"]
    for pin in lock.pins:
        record = site / f"{pin.name}-{pin.version}.dist-info" / "RECORD"
        rows = record.read_text().splitlines() if record.is_file() else []
        if len(rows) < FILES + 6:
            wrong.append(f"{pin.name}: RECORD has {len(rows)} lines")
        for row in rows:
            path, digest, _ = row.rsplit(",", 2)
            file = site / path
            if file.resolve() == (generation / "bin" / "toy00").resolve():
                continue
            content = file.read_bytes() if file.is_file() else b"missing"
            if digest and digest != f"sha256={_digest(content)}":
                wrong.append(f"{pin.name}: {path}")
    return wrong
