"""Kill builds at random moments and count damaged environments, beside plain uv and pip.

Every trial starts from a warm cache and kills the process group at a uniformly random moment. Then
every RECORD line is compared with its file, and once more after the same command again. The wheels
are synthetic and no network is used. Processes are killed; power cuts are not simulated.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from provision.engine import environments  # noqa: E402 - after the path is set
from tests.engine import kills, synthetic  # noqa: E402
from tests.engine.synthetic import World  # noqa: E402

Row = tuple[str, int, int, int, int]


def ours(world: World, number: int, before: str | None, version: str) -> Row:
    """Kill builds of ours; without `before` they are first builds, else upgrades from it."""
    shutil.rmtree(world.prefix, ignore_errors=True)
    if before:
        kills.clean_seconds(world, before)
    standing = environments.current_id(world.prefix)
    seconds = (
        kills.upgrade_seconds(world, standing, version)
        if before
        else kills.clean_seconds(world, version)
    )
    lock = synthetic.lock(world.wheels, before) if before else None
    hit = torn = broken = unrepaired = 0
    for after in kills.moments(seconds, number, seed=number):
        if standing and before:
            kills.back_to(world, standing)
        else:
            shutil.rmtree(world.prefix, ignore_errors=True)
        kill = kills.kill(world, version, after=after, standing=lock)
        hit += kill.reached
        torn += kill.torn
        broken += bool(kill.after_kill)
        unrepaired += bool(kill.after_retry or kill.failure)
    return f"vllm-ready, {'upgrade' if before else 'fresh'}", hit, torn, broken, unrepaired


def theirs(
    world: World, number: int, name: str, install: Callable[[str], list[str]], before: str | None
) -> Row:
    """Kill an installer alone; it installs into the only environment, which is in use."""
    environment, target = world.prefix / "plain", synthetic.lock(world.wheels, "2.0")

    def begin() -> None:
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run(
            [world.uv, "venv", "-q", "-p", sys.executable, environment],
            check=True,
            env=world.environment,
        )
        if before:
            _finish(world, install(before))

    begin()
    _finish(world, install("2.0"))
    begin()
    began = time.monotonic()
    _finish(world, install("2.0"))
    seconds = time.monotonic() - began
    hit = torn = unrepaired = 0
    for after in kills.moments(seconds, number, seed=number):
        begin()
        child = subprocess.Popen(
            install("2.0"),
            env=world.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            child.wait(after)
        except subprocess.TimeoutExpired:
            hit += 1
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        torn += bool(synthetic.differences(environment, target))
        _finish(world, install("2.0"), check=False)
        unrepaired += bool(synthetic.differences(environment, target))
    return f"{name}, {'upgrade' if before else 'fresh'}", hit, torn, torn, unrepaired


def _finish(world: World, argv: list[str], *, check: bool = True) -> None:
    subprocess.run(argv, env=world.environment, check=check, capture_output=True)


def installers(world: World) -> dict[str, Callable[[str], list[str]]]:
    python = str(world.prefix / "plain" / "bin" / "python")
    source = ["--no-index", "--find-links", str(world.wheels), "--no-deps"]

    def uv(version: str) -> list[str]:
        return [world.uv, "pip", "install", "--python", python, *source, *pins(version)]

    def pip(version: str) -> list[str]:
        return [sys.executable, "-m", "pip", "--python", python, "install", *source, *pins(version)]

    def pins(version: str) -> list[str]:
        return [f"{pin.name}=={pin.version}" for pin in synthetic.lock(world.wheels, version).pins]

    has_pip = (
        subprocess.run(
            [sys.executable, "-m", "pip", "--version"], check=False, capture_output=True
        ).returncode
        == 0
    )
    commands: dict[str, Callable[[str], list[str]]] = {"uv pip install": uv}
    return commands | {"pip install": pip} if has_pip else commands


def damage(world: World, number: int) -> tuple[int, int]:
    """Delete, edit or truncate files of a finished environment; return how many were repaired."""
    shutil.rmtree(world.prefix, ignore_errors=True)
    kills.clean_seconds(world, "1.0")
    lock, chance, repaired = synthetic.lock(world.wheels, "1.0"), random.Random(number), 0
    for trial in range(number):
        site = world.packages()
        victim = chance.choice(
            sorted(path for path in site.glob("toy*/*") if path.is_file() and path.stat().st_size)
        )
        if trial % 3 == 0:
            victim.unlink()
        elif trial % 3 == 1:
            victim.write_bytes(bytes([victim.read_bytes()[0] ^ 1]) + victim.read_bytes()[1:])
        else:
            os.truncate(victim, victim.stat().st_size // 2)
        synthetic.provision(world, "1.0")
        repaired += not synthetic.differences(world.current, lock)
    return repaired, number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=150, help="kills per row of vllm-ready")
    parser.add_argument("--beside", type=int, default=60, help="kills per row of uv and pip")
    parser.add_argument("--damage", type=int, default=200)
    parser.add_argument(
        "--folder", type=Path, help="the folder to work in; a disk shows other damage than memory"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        place = Path(folder)
        synthetic.make_wheels(place / "wheels")
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            sys.exit("uv is not installed")
        world = World(
            prefix=place / "envs",
            wheels=place / "wheels",
            cache=place / "cache",
            uv=uv,
            logs=place / "logs",
        )
        version = subprocess.run(
            [uv, "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
        day, python = time.strftime("%Y-%m-%d"), platform.python_version()
        print(f"{day}, {os.cpu_count()} cores, Python {python}, {version}\n")
        columns = "| case | killed | unfinished one damaged | current one damaged"
        print(f"{columns} | not repaired by the same command |\n|---|---|---|---|---|")
        for before in (None, "1.0"):
            show(ours(world, options.kills, before, "2.0"))
            shutil.rmtree(world.prefix, ignore_errors=True)
            for name, install in installers(world).items():
                show(theirs(world, options.beside, name, install, before))
        repaired, number = damage(world, options.damage)
        print(f"\nsilent damage found and repaired: {repaired} of {number}")


def show(row: Row) -> None:
    print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


if __name__ == "__main__":
    main()
