"""Whether the OpenAI server starts, answers, and stops on SIGTERM with nothing left running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from . import _processes, _tiny_model
from ._contract import Check, Context, Needs, Verdict

_NAME = "tiny-llama"
_TOKENS = 8
_START_S, _ANSWER_S, _STOP_S = 420.0, 60.0, 60.0


def body(context: Context) -> Verdict:
    _processes.adopt_orphans()
    port = _free_port()
    evidence: dict[str, Any] = {}
    began = time.monotonic()
    server = subprocess.Popen(
        _command(context, _tiny_model.make(context.scratch), port),
        env={**os.environ, **_tiny_model.environment(context.scratch)},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    if problem := _wait_for_health(server, url):
        return Verdict(passed=False, summary=problem, evidence=evidence, hint="the server's own words are in the log")
    evidence["startup_s"] = round(time.monotonic() - began, 3)
    problem = _answers(url, evidence) or _stops(server, evidence)
    if problem:
        return Verdict(passed=False, summary=problem, evidence=evidence)
    return Verdict(
        passed=True,
        summary=f"ready after {evidence['startup_s']:.1f} s, answered, stopped in {evidence['stop_s']:.1f} s",
        evidence=evidence,
    )


def _command(context: Context, model: str, port: int) -> list[str]:
    server = [sys.executable, "-I", "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    if context.launcher:
        server = [context.launcher, "serve", model]
    return [
        *server,
        *("--host", "127.0.0.1", "--port", str(port), "--served-model-name", _NAME),
        *("--load-format", "dummy", "--enforce-eager", "--seed", str(_tiny_model.SEED)),
        *("--max-model-len", str(_tiny_model.CONTEXT), "--max-num-seqs", "4", "--gpu-memory-utilization", "0.2"),
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for_health(server: subprocess.Popen[bytes], url: str) -> str:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if server.poll() is not None:
            return f"the server ended with status {server.returncode} before it was ready"
        if _ask(f"{url}/health")[0] == 200:
            return ""
        time.sleep(0.1)
    return f"/health did not answer 200 within {_START_S:g} s"


def _answers(url: str, evidence: dict[str, Any]) -> str:
    """What is wrong with the answers; a green /health alone proves nothing."""
    status, text = _ask(f"{url}/v1/models")
    if status != 200 or _NAME not in [model.get("id") for model in _json(text).get("data", [])]:
        return f"/v1/models answered {status} and does not name the model"
    began = time.monotonic()
    prompt = {"model": _NAME, "prompt": "w3 w5 w8", "max_tokens": _TOKENS, "temperature": 0, "ignore_eos": True}
    status, text = _ask(f"{url}/v1/completions", prompt)
    count = _json(text).get("usage", {}).get("completion_tokens")
    evidence |= {"completion_s": round(time.monotonic() - began, 3), "completion_tokens": count}
    if status != 200 or count != _TOKENS:
        return f"a completion of {_TOKENS} tokens was answered with {status} and {count} tokens: {text[:200]}"
    status, text = _ask(f"{url}/metrics")
    if status != 200 or "vllm:" not in text:
        return f"/metrics answered {status} without a metric of vLLM"
    return ""


def _ask(url: str, document: object = None) -> tuple[int, str]:
    """Status and text; 0 and the reason where nobody answered."""
    data = json.dumps(document).encode() if document else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own server
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ANSWER_S) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        return 0, str(error)


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _stops(server: subprocess.Popen[bytes], evidence: dict[str, Any]) -> str:
    evidence["processes"] = len(_processes.descendants())
    began = time.monotonic()
    server.send_signal(signal.SIGTERM)
    try:
        status = server.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        return f"the server did not end within {_STOP_S:g} s of SIGTERM"
    evidence |= {"stop_s": round(time.monotonic() - began, 3), "stop_status": status}
    until = time.monotonic() + 5.0
    while (left := _processes.descendants()) and time.monotonic() < until:
        time.sleep(0.1)
    if left:
        return f"the server ended and left {', '.join(sorted(left.values()))} running"
    if status not in (0, -signal.SIGTERM):
        return f"the server ended with status {status} on SIGTERM"
    return ""


CHECK = Check(
    name="vllm_serves",
    title="vLLM serves",
    proves="the OpenAI server starts, completes a prompt over HTTP and stops on SIGTERM with nothing left running",
    step=80,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=600,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
)
