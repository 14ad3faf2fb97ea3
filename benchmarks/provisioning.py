"""How long it takes to build an environment, cold and after a kill, beside plain uv with the same wheels, in one run.

The wheels are those of an environment that stands already, served by a server on this host, so that neither side has
a better line. Both start with nothing: no cache, no store. Ours fetches, installs and reads every installed byte
against RECORD; the checks are left out. uv's is `uv venv && uv pip install --require-hashes` with its defaults.
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

from provision.engine import apply, bring_up, discover_steps, environments, resolution_cache  # noqa: E402 - finds its own tree first
from provision.engine.integrity import survey as whole  # noqa: E402 - likewise
from provision.engine.resolution_cache import Resolution  # noqa: E402 - likewise
from provision.steps.model import Lock, Site  # noqa: E402 - likewise


class Line:
    """One line that all connections share; as fast as it can where no rate is given."""

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
    """Files of a folder, also from any byte on."""

    protocol_version = "HTTP/1.1"
    line: Line

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            return super().do_GET()
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = int(asked[2]) if asked and asked[2] else size - 1
        if first >= size:  # it was killed with the whole file there
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.flush()
        with path.open("rb") as stream:
            try:
                self.line.send(self.connection, stream, first, last - first + 1)
            except ConnectionError:  # it was killed
                self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing is told but the figures."""


def served(folder: Path, line: Line) -> str:
    Ranges.line = line
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Ranges(*given, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


def build(described: Path, prefix: Path) -> None:
    """What a child does: every step, without checks."""
    found = msgspec.json.decode(described.read_bytes(), type=Resolution)
    site = Site(generation=str(prefix / "one"), prefix=str(prefix), uv=bring_up.own_uv(), host_python=found.host_python)
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    environment = {**kept, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": f"{prefix}/uv"}
    apply.build(
        found.plan, found.lock, site, discover_steps.discover(), log_folder=prefix / "logs", environment=environment
    )


def ours(described: Path, prefix: Path) -> list[str]:
    return [sys.executable, __file__, "--build", str(described), "--prefix", str(prefix)]


def theirs(found: Resolution, index: str, prefix: Path) -> list[str]:
    uv, python = bring_up.own_uv(), found.host_python or found.plan.python
    (prefix / "lock.txt").write_text(found.lock.text)
    cache = f"--cache-dir '{prefix}/uv'"
    install = f"--require-hashes --no-deps --no-index --find-links {index} -r '{prefix}/lock.txt'"
    venv = f"'{uv}' venv -q {cache} --python '{python}' '{prefix}/one'"
    return ["sh", "-c", f"{venv} && '{uv}' pip install -q {cache} --python '{prefix}/one/bin/python' {install}"]


def timed(command: Callable[[Path], list[str]], work: Path, kill_after: float | None = None) -> float:
    """Seconds from nothing to the end; with a kill, those before it and those of the same command again."""
    prefix = Path(tempfile.mkdtemp(dir=work))
    before = run(command(prefix), kill_after) if kill_after is not None else 0.0
    seconds = run(command(prefix))
    shutil.rmtree(prefix)
    return before + seconds


def hashed(found: Resolution, index: str, work: Path) -> tuple[float, float]:
    """Seconds of uv alone, and with every file of the environment read and compared with RECORD as we do it."""
    prefix = Path(tempfile.mkdtemp(dir=work))
    alone = run(theirs(found, index, prefix))
    shutil.rmtree(prefix / "uv")  # else its hard links into the cache count as shared
    began = time.perf_counter()
    survey = whole.survey(prefix / "one", found.lock, contents=True)
    reading = time.perf_counter() - began
    if len(survey.marks) < len(found.lock.pins):
        sys.exit("nothing was read")
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
    parser.add_argument("--prefix", type=Path, default=ROOT / "envs", help="a prefix with a verified environment")
    parser.add_argument("--work", type=Path, help="where to build (a folder on a disk with room)")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--line", type=float, metavar="MB_PER_S", help="as over such a line (125 is 1 Gbit/s)")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        build(given.build, given.prefix)
        return
    found = resolution_cache.load(given.prefix)
    if found is None or environments.current(given.prefix) is None:
        sys.exit(f"{given.prefix} has no environment: ./setup.sh makes one")
    index = served(given.prefix / "wheels", Line(given.line))
    pins = [
        msgspec.structs.replace(pin, wheel=msgspec.structs.replace(pin.wheel, url=index + pin.wheel.file))
        for pin in found.lock.pins
    ]
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        work = Path(folder)
        described = work / "wanted.json"
        described.write_bytes(msgspec.json.encode(msgspec.structs.replace(found, lock=Lock(pins=tuple(pins)))))
        report(found, described, index, work, given.pairs)


def report(found: Resolution, described: Path, index: str, work: Path, pairs: int) -> None:
    cold, alike, resumed, chance = [], [], [], random.Random(1)
    for _ in range(pairs):
        mine = timed(lambda prefix: ours(described, prefix), work)
        alone, read = hashed(found, index, work)
        resumed.append((timed(lambda prefix: ours(described, prefix), work, chance.uniform(0.1, 0.9) * mine), mine))
        cold.append((mine, alone))
        alike.append((mine, read))
    day, cores = time.strftime("%Y-%m-%d"), os.cpu_count()
    print(f"{day}, {cores} cores, {platform.machine()}; {len(found.lock.pins)} wheels; medians of {pairs} pairs\n")
    print("| what | seconds | compared with, seconds | ratio | goal |\n|---|---|---|---|---|")
    rows = (
        ("cold, beside uv alone", cold, ""),
        ("cold, beside uv with every file read, too", alike, "<= 1.25"),
        ("killed and resumed, beside clean", resumed, "<= 1.15"),
    )
    for name, pairs_, goal in rows:
        ratio = statistics.median(one / two for one, two in pairs_)
        one, two = (statistics.median(each) for each in zip(*pairs_, strict=True))
        print(f"| {name} | {one:.1f} | {two:.1f} | {ratio:.2f} | {goal} |")


if __name__ == "__main__":
    main()
