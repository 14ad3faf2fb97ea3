"""Measure how long a build takes, cold and after a kill, beside plain uv with the same wheels.

The wheels are those of an existing environment, served on this host, so that neither side has a
faster line. Both start without cache or store. vllm-ready downloads, installs and compares every
installed byte with RECORD, without the checks. uv runs `uv venv && uv pip install --require-hashes`
with its defaults.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

import msgspec

_PIECE = 256 * 1024
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from provision.engine import (  # noqa: E402 - after the path is set
    apply,
    bring_up,
    discover_steps,
    environments,
    resolution_cache,
)
from provision.engine.integrity.survey import survey  # noqa: E402
from provision.engine.resolution_cache import Resolution  # noqa: E402
from provision.steps.model import Lock, Site  # noqa: E402


class Line:
    """A network line shared by all connections, without a limit if no rate is given."""

    def __init__(self, megabytes_s: float | None) -> None:
        self._rate, self._turn, self._free = megabytes_s, threading.Lock(), 0.0

    def send(self, connection: socket.socket, stream: BinaryIO, first: int, count: int) -> None:
        if self._rate is None:
            connection.sendfile(stream, first, count)
            return
        for start in range(first, first + count, _PIECE):
            size = min(_PIECE, first + count - start)
            with self._turn:
                begins = max(time.monotonic(), self._free)
                self._free = begins + size / self._rate / 1e6
            time.sleep(max(0.0, self._free - time.monotonic()))
            connection.sendfile(stream, start, size)


class Ranges(SimpleHTTPRequestHandler):
    """Serve files of a folder, with ranges."""

    protocol_version = "HTTP/1.1"
    line: Line

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            return super().do_GET()
        size = path.stat().st_size
        requested = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(requested[1]) if requested else 0
        last = int(requested[2]) if requested and requested[2] else size - 1
        if first >= size:  # the client was killed after the last byte
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if requested else 200)
        if requested:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.flush()
        with path.open("rb") as stream:
            try:
                self.line.send(self.connection, stream, first, last - first + 1)
            except ConnectionError:  # the client was killed
                self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Print nothing but the figures."""


def served(folder: Path, line: Line) -> str:
    Ranges.line = line
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: Ranges(*arguments, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


def build(described: Path, prefix: Path) -> None:
    """Run every step without checks; a child process does this."""
    resolution = msgspec.json.decode(described.read_bytes(), type=Resolution)
    site = Site(
        generation=str(prefix / "one"),
        prefix=str(prefix),
        uv=bring_up.own_uv(),
        host_python=resolution.host_python,
    )
    inherited = {name: os.environ[name] for name in ("PATH", "HOME")}
    environment = {**inherited, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": f"{prefix}/uv"}
    apply.build(
        resolution.plan,
        resolution.lock,
        site,
        discover_steps.discover(),
        log_folder=prefix / "logs",
        environment=environment,
    )


def ours(described: Path, prefix: Path) -> list[str]:
    return [sys.executable, __file__, "--build", str(described), "--prefix", str(prefix)]


def theirs(resolution: Resolution, index: str, prefix: Path) -> list[str]:
    uv, python = bring_up.own_uv(), resolution.host_python or resolution.plan.python
    (prefix / "lock.txt").write_text(resolution.lock.text)
    cache = f"--cache-dir '{prefix}/uv'"
    install = f"--require-hashes --no-deps --no-index --find-links {index} -r '{prefix}/lock.txt'"
    venv = f"'{uv}' venv -q {cache} --python '{python}' '{prefix}/one'"
    return [
        "sh",
        "-c",
        f"{venv} && '{uv}' pip install -q {cache} --python '{prefix}/one/bin/python' {install}",
    ]


def timed(
    command: Callable[[Path], list[str]], work: Path, kill_after: float | None = None
) -> float:
    """Return the seconds of a build; with a kill, also those of the same command again."""
    prefix = Path(tempfile.mkdtemp(dir=work))
    before = run(command(prefix), kill_after) if kill_after is not None else 0.0
    seconds = run(command(prefix))
    shutil.rmtree(prefix)
    return before + seconds


def hashed(resolution: Resolution, index: str, work: Path) -> tuple[float, float]:
    """Return the seconds of uv alone, and of uv with our comparison of every file with RECORD."""
    prefix = Path(tempfile.mkdtemp(dir=work))
    alone = run(theirs(resolution, index, prefix))
    shutil.rmtree(prefix / "uv")  # or files shared with the cache would count as damaged
    began = time.perf_counter()
    result = survey(prefix / "one", resolution.lock, contents=True)
    reading = time.perf_counter() - began
    if len(result.marks) < len(resolution.lock.pins):
        sys.exit("no file was read")
    shutil.rmtree(prefix)
    return alone, alone + reading


def run(argv: list[str], kill_after: float | None = None) -> float:
    began = time.perf_counter()
    child = subprocess.Popen(argv, start_new_session=True, env={**os.environ, "UV_NO_CONFIG": "1"})
    try:
        child.wait(kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return time.perf_counter() - began
    if child.returncode:
        sys.exit(f"{argv} ended with status {child.returncode}")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--prefix", type=Path, default=ROOT / "envs", help="a prefix with a verified environment"
    )
    parser.add_argument(
        "--work", type=Path, help="the folder to build in, on a disk with enough space"
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--line", type=float, metavar="MB_PER_S", help="limit the line (125 is 1 Gbit/s)"
    )
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        build(options.build, options.prefix)
        return
    resolution = resolution_cache.load(options.prefix)
    if resolution is None or environments.current_id(options.prefix) is None:
        sys.exit(f"{options.prefix} has no environment: ./setup.sh makes one")
    index = served(options.prefix / "wheels", Line(options.line))
    pins = [
        msgspec.structs.replace(
            pin, wheel=msgspec.structs.replace(pin.wheel, url=index + pin.wheel.file)
        )
        for pin in resolution.lock.pins
    ]
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        work = Path(folder)
        described = work / "wanted.json"
        served_lock = msgspec.structs.replace(resolution, lock=Lock(pins=tuple(pins)))
        described.write_bytes(msgspec.json.encode(served_lock))
        report(resolution, described, index, work, options.pairs)


def report(resolution: Resolution, described: Path, index: str, work: Path, pairs: int) -> None:
    cold, compared, resumed, chance = [], [], [], random.Random(1)
    for _ in range(pairs):
        mine = timed(lambda prefix: ours(described, prefix), work)
        alone, read = hashed(resolution, index, work)
        resumed.append(
            (
                timed(
                    lambda prefix: ours(described, prefix), work, chance.uniform(0.1, 0.9) * mine
                ),
                mine,
            )
        )
        cold.append((mine, alone))
        compared.append((mine, read))
    day, cores = time.strftime("%Y-%m-%d"), os.cpu_count()
    host, wheels = f"{day}, {cores} cores, {platform.machine()}", len(resolution.lock.pins)
    print(f"{host}; {wheels} wheels; medians of {pairs} pairs\n")
    print("| what | seconds | compared with, seconds | ratio | goal |\n|---|---|---|---|---|")
    rows = (
        ("cold, beside uv alone", cold, ""),
        ("cold, beside uv with every file read, too", compared, "<= 1.25"),
        ("killed and resumed, beside clean", resumed, "<= 1.15"),
    )
    for name, pairs_, goal in rows:
        ratio = statistics.median(first / second for first, second in pairs_)
        first, second = (statistics.median(column) for column in zip(*pairs_, strict=True))
        print(f"| {name} | {first:.1f} | {second:.1f} | {ratio:.2f} | {goal} |")


if __name__ == "__main__":
    main()
