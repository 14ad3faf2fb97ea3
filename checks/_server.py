"""A vLLM server of the tiny model on a free port of this host: started, followed and stopped."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from . import _devices, _openai, _processes, _timing, _tiny_model
from ._contract import Context, Figure

# A cold start compiles kernels, which takes minutes; stopping waits for the last requests.
# The end takes long where the kernel takes down eight CUDA contexts without persistence mode.
_START_S, _STOP_S, _LEFT_S = 420.0, 60.0, 30.0
_COMPILED_START_S = 900.0
_READY = "from the start of its process until /health answers, asked every 0.1 s"
_KEPT_LINES = 2000
# vLLM has changed the words of this line from release to release.
_BACKEND = re.compile(
    r"Using (?:AttentionBackendEnum\.)?(\w+)(?: attention)? backend(?: out of|\.)"
)


class Server:
    """Starts at once. `url` is its address, `evidence` and `figures` what was measured.

    `compiled`: as users start it, with compilation, graphs and the user's caches.
    """

    def __init__(self, context: Context, *, compiled: bool = False, **settings: object) -> None:
        _processes.adopt_orphans()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self.evidence: dict[str, Any] = {}
        self.figures: tuple[Figure, ...] = ()
        self._lines: list[str] = []
        self._limit_s = _COMPILED_START_S if compiled else _START_S
        self._began = time.monotonic()
        model = _tiny_model.make(context.scratch)
        self._process = subprocess.Popen(
            _command(context, model, {"port": port, **settings}, compiled=compiled),
            env=_environment_of_users(context) if compiled else environment(context),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def _read_output(self) -> None:
        """Print everything to the log of the check, and keep the first lines."""
        for line in self._process.stdout or ():
            print(line, end="", flush=True)
            if len(self._lines) < _KEPT_LINES:
                self._lines.append(line)

    def backends(self) -> list[str]:
        return sorted(set(self.find(_BACKEND)))

    def find(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the first group of a pattern in each line of the output that has it."""
        return [match[1] for match in map(pattern.search, list(self._lines)) if match]

    def wait(self) -> str:
        """Wait until it is ready; return a problem or "".

        Raise MemoryError if a GPU has no room for it.
        """
        while time.monotonic() - self._began < self._limit_s:
            if self._process.poll() is not None:
                self._reader.join(_LEFT_S)
                if full := next(filter(_devices.means_full, self._lines), ""):
                    raise _devices.full_error("a GPU", full)
                return (
                    f"the server ended with status {self._process.returncode} before it was ready"
                )
            if _openai.ask(f"{self.url}/health", seconds=5).status == 200:
                seconds = round(time.monotonic() - self._began, 3)
                self.evidence["startup_s"] = seconds
                self.figures = (
                    _timing.figure(
                        "time until ready", [seconds], "s", better="lower", method=_READY
                    ),
                )
                self.evidence["processes"] = len(_processes.descendants())
                return ""
            time.sleep(0.1)
        return f"/health did not answer 200 within {self._limit_s:g} s"

    def stop(self) -> str:
        """Send SIGTERM; return what is wrong with how the server ends, or ""."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return f"the server did not end within {_STOP_S:g} s of SIGTERM"
        self.evidence |= {"stop_s": round(time.monotonic() - began, 3), "stop_status": status}
        until = time.monotonic() + _LEFT_S
        while (running := _processes.descendants()) and time.monotonic() < until:
            time.sleep(0.1)
        if running:
            return f"the server ended and left {', '.join(sorted(running.values()))} running"
        clean = status in (0, -signal.SIGTERM)
        return "" if clean else f"the server ended with status {status} on SIGTERM"


def environment(context: Context) -> dict[str, str]:
    # VLLM_API_KEY is for another server; with it this one would demand a key.
    inherited = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
    return {**inherited, **_tiny_model.environment(context.scratch)}


def _environment_of_users(context: Context) -> dict[str, str]:
    """Return variables with which the launcher takes the caches of this environment."""
    ours = ("VLLM_API_KEY", "FLASHINFER_WORKSPACE_BASE")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return {**inherited, **_tiny_model.offline_environment(context.scratch)}


def _command(context: Context, model: str, more: dict[str, object], *, compiled: bool) -> list[str]:
    server = [sys.executable, "-I", "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    if context.launcher:
        server = [context.launcher, "serve", model]
    settings = {
        "host": "127.0.0.1",
        "served_model_name": _tiny_model.NAME,
        **more,
        **_tiny_model.settings(context),
    }
    for name in ("enforce_eager", "max_num_seqs") if compiled else ():
        del settings[name]
    for name, value in settings.items():
        # A flag has no value.
        server += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return server
