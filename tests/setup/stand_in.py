"""A checkout for each test: the real setup.sh, tiny requirements and a chosen PATH."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
import urllib.parse
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COREUTILS = [
    "chmod",
    "df",
    "env",
    "ln",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sha256sum",
    "sleep",
    "stat",
]
# What the verb would be: it says how it was called, on stdout, and ends as it is told.
CLI = """
import json, os, sys
def main():
    import tiny
    print(json.dumps({"args": sys.argv[1:], "cwd": os.getcwd(), "home": os.environ.get("HOME"),
                      "seen": tiny.SEEN, "path": sys.path}))
    return int(os.environ.get("END_WITH", "0"))
"""
PYTEST = """
import json, os, sys
print(json.dumps({"args": sys.argv[1:], "cwd": os.getcwd()}))
print("=== 3 passed in 0.01s ===")
sys.exit(int(os.environ.get("END_WITH", "0")))
"""


def make_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a wheel of version 1.0 and return the requirement that pins it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def script(path: Path, text: str) -> None:
    """Write an executable file."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Answer(msgspec.Struct, frozen=True):
    """The output and exit code of a run."""

    code: int
    out: str
    err: str


class StandIn:
    """A host with a checkout and a choice of tools."""

    def __init__(self, base: Path, checkout: str = "it's grün & gut") -> None:
        self.base = self.cwd = base
        self.checkout = base / checkout
        self.bin, self.home, self.wheels = base / "bin", base / "home", base / "wheels"
        for folder in (self.checkout / "provision", self.bin, self.home):
            folder.mkdir(parents=True)
        shutil.copy(ROOT / "setup.sh", self.checkout)
        shutil.copytree(ROOT / ".ci", self.checkout / ".ci")
        shutil.copytree(ROOT / "provision/setup", self.checkout / "provision/setup")
        (self.checkout / "provision/__init__.py").touch()
        (self.checkout / "provision/cli.py").write_text(CLI, encoding="utf-8")
        pin = make_wheel(self.wheels, "tiny", {"tiny.py": "SEEN = 'the pinned one'\n"})
        tests = make_wheel(self.wheels, "pytest", {"pytest/__main__.py": PYTEST})
        (self.checkout / "requirements.txt").write_text(pin, encoding="utf-8")
        (self.checkout / "requirements-test.txt").write_text(pin + tests, encoding="utf-8")
        self.env = {
            "PATH": str(self.bin),
            "HOST_PATH": str(self.bin),
            "HOME": str(self.home),
            "LC_ALL": "C",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_RETRIES": "0",
            "PIP_RETRIES": "0",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        self.give("bash", "sh", *COREUTILS)

    def give(self, *names: str) -> StandIn:
        """Put tools of this machine on the host's PATH."""
        for name in names:
            result = shutil.which(name)
            assert result, f"this machine has no {name}"
            (self.bin / name).symlink_to(result)
        return self

    def give_python(self) -> StandIn:
        """Put the Python of this machine on the PATH as python3."""
        python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        script(self.bin / "python3", f'#!/bin/sh\nexec {python} "$@"\n')
        return self

    def give_tool(self, tool: str) -> StandIn:
        """Put uv, or only a Python, on the PATH."""
        return self.give_uv() if tool == "uv" else self.give_python()

    def give_uv(self) -> StandIn:
        """Put the pinned uv and a Python on the PATH."""
        script(self.bin / "uv", f'#!/bin/sh\nexec {the_uv()} "$@"\n')
        return self.give_python()

    def command(self, *args: str) -> list[str]:
        """Return the command of setup.sh."""
        return [str(self.checkout / "setup.sh"), *args]

    def run(self, argv: list[str], **env: str | None) -> Answer:
        """Run a command on this host; a variable of None is unset."""
        wanted = {name: value for name, value in (self.env | env).items() if value is not None}
        done = subprocess.run(  # noqa: PLW1510 - the exit status is what many tests are about
            argv, cwd=self.cwd, env=wanted, capture_output=True, encoding="utf-8", timeout=120
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def setup(self, *args: str, **env: str | None) -> Answer:
        """Run setup.sh on this host."""
        return self.run(self.command(*args), **env)

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """Start setup.sh in a process group of its own."""
        return subprocess.Popen(
            self.command(*args),
            cwd=self.cwd,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )


def the_uv() -> str:
    """Return the uv of the pinned requirements."""
    beside = Path(sys.executable).parent / "uv"
    result = str(beside) if beside.exists() else shutil.which("uv")
    assert result, "the test requirements bring uv"
    return result


@contextlib.contextmanager
def index(
    wheels: Path, *, stuck: threading.Event | None = None, refuse: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """A package index on 127.0.0.1: its port, and the requests so far with their authorization.

    It also answers as a proxy does. With `stuck`, a request for a file sets the event and is never
    answered. With `refuse`, it gets that status.
    """
    asked: list[str] = []
    end = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization', '')}".strip())
            self.path = urllib.parse.urlsplit(self.path).path
            if self.path.startswith("/simple/"):
                name = self.path.split("/")[2]
                links = "".join(
                    f'<a href="/{w.name}">{w.name}</a>' for w in wheels.glob(f"{name}-*.whl")
                )
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(f"<!DOCTYPE html><html><body>{links}</body></html>".encode())
            elif refuse:
                self.send_error(refuse)
            elif stuck is not None:
                stuck.set()
                end.wait(60)
            else:
                super().do_GET()

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Print nothing: the tests read `asked`."""

    handler = functools.partial(Handler, directory=str(wheels))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            end.set()
            server.shutdown()
            thread.join()


def mounting(commands: str) -> list[str]:
    """Return a command prefix that first runs `commands` in a mount namespace; skip without one."""
    unshare = [
        "unshare",
        "--mount",
        *([] if os.geteuid() == 0 else ["--map-root-user"]),
        "sh",
        "-c",
    ]
    tried = subprocess.run([*unshare, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"mounting is refused here: {tried.stderr.decode().strip()}")
    wrapped = f'PATH=/usr/sbin:/usr/bin:/sbin:/bin; {commands} && PATH=$HOST_PATH exec "$@"'
    result = shutil.which("unshare")
    assert result
    return [result, *unshare[1:-2], "/bin/sh", "-ec", wrapped, "sh"]
