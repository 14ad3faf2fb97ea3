"""Kills builds at random moments and looks whether what is current is whole; plain uv and pip beside it, in one run.

Every trial: a warm cache, the process group killed at a uniform random moment of a build, every RECORD line compared
with its file; then the same command again, and once more every line. Synthetic wheels, no network. A process is killed
here, never the power cut.
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

from provision.engine import environments  # noqa: E402 - a script finds its own tree first
from tests.engine import kills, synthetic  # noqa: E402 - likewise
from tests.engine.synthetic import World  # noqa: E402 - likewise

Row = tuple[str, int, int, int, int]


def ours(world: World, number: int, before: str | None, version: str) -> Row:
    """Fresh (before is None) or an upgrade: what is current must be whole at every look."""
    shutil.rmtree(world.prefix, ignore_errors=True)
    if before:
        kills.clean_seconds(world, before)
    standing = environments.current(world.prefix)
    seconds = kills.upgrade_seconds(world, standing, version) if before else kills.clean_seconds(world, version)
    lock = synthetic.lock(world.wheels, before) if before else None
    hit = torn = broken = unhealed = 0
    for after in kills.moments(seconds, number, seed=number):
        if standing and before:
            kills.back_to(world, standing)
        else:
            shutil.rmtree(world.prefix, ignore_errors=True)
        outcome = kills.kill(world, version, after=after, standing=lock)
        hit += outcome.reached
        torn += outcome.torn
        broken += bool(outcome.after_kill)
        unhealed += bool(outcome.after_again or outcome.again)
    return f"vllm-ready, {'upgrade' if before else 'fresh'}", hit, torn, broken, unhealed


def theirs(world: World, number: int, name: str, install: Callable[[str], list[str]], before: str | None) -> Row:
    """The same of an installer alone, into an environment of its own that is also the one in use."""
    environment, target = world.prefix / "plain", synthetic.lock(world.wheels, "2.0")

    def begin() -> None:
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([world.uv, "venv", "-q", "-p", sys.executable, environment], check=True, env=world.environment)
        if before:
            _finish(world, install(before))

    begin()
    _finish(world, install("2.0"))
    begin()
    began = time.monotonic()
    _finish(world, install("2.0"))
    seconds = time.monotonic() - began
    hit = torn = unhealed = 0
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
        unhealed += bool(synthetic.differences(environment, target))
    return f"{name}, {'upgrade' if before else 'fresh'}", hit, torn, torn, unhealed


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
        subprocess.run([sys.executable, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0
    )
    found: dict[str, Callable[[str], list[str]]] = {"uv pip install": uv}
    return found | {"pip install": pip} if has_pip else found


def damage(world: World, number: int) -> tuple[int, int]:
    """Files of a finished environment deleted, edited in place, cut short: how many were found and repaired."""
    shutil.rmtree(world.prefix, ignore_errors=True)
    kills.clean_seconds(world, "1.0")
    lock, chance, repaired = synthetic.lock(world.wheels, "1.0"), random.Random(number), 0
    for trial in range(number):
        site = world.packages()
        victim = chance.choice(sorted(path for path in site.glob("toy*/*") if path.is_file() and path.stat().st_size))
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
    parser.add_argument("--kills", type=int, default=150, help="per row of ours")
    parser.add_argument("--beside", type=int, default=60, help="kills per row of uv and pip")
    parser.add_argument("--damage", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where to work; a disk shows other tears than memory")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        place = Path(folder)
        synthetic.make_wheels(place / "wheels")
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            sys.exit("uv is not there")
        world = World(prefix=place / "envs", wheels=place / "wheels", cache=place / "cache", uv=uv, logs=place / "logs")
        version = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, {version}\n")
        print(
            "| case | killed | begun one torn | in use broken | not healed by the same command |\n|---|---|---|---|---|"
        )
        for before in (None, "1.0"):
            show(ours(world, wanted.kills, before, "2.0"))
            shutil.rmtree(world.prefix, ignore_errors=True)
            for name, install in installers(world).items():
                show(theirs(world, wanted.beside, name, install, before))
        repaired, number = damage(world, wanted.damage)
        print(f"\nsilent damage found and repaired: {repaired} of {number}")


def show(row: Row) -> None:
    print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


if __name__ == "__main__":
    main()
