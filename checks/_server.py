"""A server of vLLM with the tiny model: started on a free port of this host, followed, and stopped."""

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

_START_S, _STOP_S, _LEFT_S = 420.0, 60.0, 5.0
_READY = "from the start of its process until /health answers, asked every 0.1 s"
_KEPT = 2000  # lines
_BACKEND = re.compile(r"Using (?:AttentionBackendEnum\.)?(\w+)(?: attention)? backend(?: out of|\.)")


class Server:
    """Started at once; `url` is where it will answer, `evidence` and `figures` what was measured on the way."""

    def __init__(self, context: Context, **settings: object) -> None:
        _processes.adopt_orphans()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self.evidence: dict[str, Any] = {}
        self.figures: tuple[Figure, ...] = ()
        self._lines: list[str] = []
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            _command(context, _tiny_model.make(context.scratch), {"port": port, **settings}),
            env=environment(context),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _follow(self) -> None:
        """Everything goes to the log of the check; the first lines are kept, for what they tell of the choices."""
        for line in self._process.stdout or ():
            print(line, end="", flush=True)
            if len(self._lines) < _KEPT:
                self._lines.append(line)

    def backends(self) -> list[str]:
        """The attention backends that vLLM has said it uses."""
        return sorted({found[1] for line in list(self._lines) if (found := _BACKEND.search(line))})

    def wait(self) -> str:
        """What kept it from being ready, if anything. MemoryError where a GPU has no room for it."""
        while time.monotonic() - self._began < _START_S:
            if self._process.poll() is not None:
                self._follower.join(_LEFT_S)
                if full := next(filter(_devices.full, self._lines), ""):
                    raise _devices.lacking("a GPU", full)
                return f"the server ended with status {self._process.returncode} before it was ready"
            if _openai.ask(f"{self.url}/health", seconds=5).status == 200:
                self.evidence["startup_s"] = took = round(time.monotonic() - self._began, 3)
                self.figures = (_timing.figure("time until ready", [took], "s", better="lower", method=_READY),)
                self.evidence["processes"] = len(_processes.descendants())
                return ""
            time.sleep(0.1)
        return f"/health did not answer 200 within {_START_S:g} s"

    def stop(self) -> str:
        """What is wrong with how it ends on SIGTERM, if anything."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return f"the server did not end within {_STOP_S:g} s of SIGTERM"
        self.evidence |= {"stop_s": round(time.monotonic() - began, 3), "stop_status": status}
        until = time.monotonic() + _LEFT_S
        while (left := _processes.descendants()) and time.monotonic() < until:
            time.sleep(0.1)
        if left:
            return f"the server ended and left {', '.join(sorted(left.values()))} running"
        if status not in (0, -signal.SIGTERM):
            return f"the server ended with status {status} on SIGTERM"
        return ""


def environment(context: Context) -> dict[str, str]:
    """Without a key that is meant for another server: this one would ask for it."""
    inherited = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
    return {**inherited, **_tiny_model.environment(context.scratch)}


def _command(context: Context, model: str, more: dict[str, object]) -> list[str]:
    server = [sys.executable, "-I", "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    if context.launcher:
        server = [context.launcher, "serve", model]
    asked = {"host": "127.0.0.1", "served_model_name": _tiny_model.NAME, **more, **_tiny_model.settings(context)}
    words = ([f"--{name.replace('_', '-')}", "" if value is True else str(value)] for name, value in asked.items())
    return [*server, *(word for pair in words for word in pair if word)]
