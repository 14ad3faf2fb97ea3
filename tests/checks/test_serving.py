"""serving_answers: a running server, inspected from the outside, and each of its faults."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from checks import _serving
from checks._contract import Verdict
from provision.engine.launch_checks import CheckContext
from tests.checks.environments import SmallEnvironment
from tests.checks.twins import twin_of

METRICS = """# HELP vllm:num_requests_waiting Number of requests waiting.
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} WAITING
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} USED
vllm:num_preemptions_total{engine="0"} 0.0
vllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="4096",odd="a \\"quoted\\", one",engine="0"} 1.0
"""
MODELS = {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 4096}]}
DONE = {"choices": [{"text": " a b c d"}], "usage": {"completion_tokens": 4}}
KEY = "a-key-nobody-may-see"


class Pretended:
    """Answers each path with a status and a text, or after a while, or only with the key."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {
            "/health": (200, ""),
            "/version": (200, '{"version": "0.32.0"}'),
            "/v1/models": (200, json.dumps(MODELS)),
            "/metrics": (200, METRICS.replace("WAITING", "0.0").replace("USED", "0.5")),
            "/v1/completions": (200, json.dumps(DONE)),
        }
        self.slow = ""
        self.key = ""
        self.points_to = ""
        self.asked: list[tuple[str, str]] = []


@pytest.fixture
def pretended() -> Iterator[tuple[Pretended, str]]:
    server = Pretended()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            server.asked.append((self.path, body))
            if self.path == server.slow:
                time.sleep(1.5)
            status, text = server.answers.get(self.path, (404, ""))
            if (
                server.key
                and self.path.startswith("/v1")
                and self.headers["Authorization"] != f"Bearer {server.key}"
            ):
                status, text = 401, '{"error":"Unauthorized"}'
            self.send_response(status)
            if server.points_to:
                self.send_header("Location", server.points_to)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # it was waited for long enough
                self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815 - as the library calls it

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield server, f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()


def test_a_healthy_server_passes_with_its_load(pretended: tuple[Pretended, str]) -> None:
    server, url = pretended
    verdict = _serving.inspect_server(url + "/v1/", "", 10)
    assert verdict.passed, verdict.summary
    assert verdict.summary.startswith("vLLM 0.32.0 serves m and generates: 4 tokens in ")
    assert verdict.summary.endswith("; 5 running, 0 waiting")
    assert verdict.evidence["max_model_len"] == 4096
    assert verdict.evidence["cache"] == {
        "block_size": "16",
        "cache_dtype": "auto",
        "num_gpu_blocks": "4096",
    }
    assert verdict.evidence["load"] == {
        "running": 5,
        "waiting": 0,
        "kv_cache_used": 0.5,
        "preemptions": 0,
    }
    assert not verdict.hint
    (took,) = verdict.figures
    assert (took.name, took.of, took.unit, took.better) == (
        "time of a generation",
        {"tokens": "4"},
        "s",
        "lower",
    )
    generations = [json.loads(body) for path, body in server.asked if path == "/v1/completions"]
    assert [generation["max_tokens"] for generation in generations] == [4], (
        "one short generation is all that it is asked for"
    )


def test_a_queue_and_a_full_cache_are_in_the_hint(pretended: tuple[Pretended, str]) -> None:
    server, url = pretended
    server.answers["/metrics"] = (200, METRICS.replace("WAITING", "7.0").replace("USED", "0.97"))
    verdict = _serving.inspect_server(url, "", 10)
    assert verdict.passed
    assert verdict.hint.startswith("7 requests wait: ")
    assert "the KV cache is 97% full" in verdict.hint


def broken(
    change: Callable[[Pretended], object], key: str = "", seconds: float = 10.0
) -> Callable[..., Verdict]:
    def look(server: Pretended, url: str) -> Verdict:
        change(server)
        return _serving.inspect_server(url, key, seconds)

    return look


def answering(path: str, status: int, text: str = "") -> Callable[[Pretended], object]:
    return lambda server: server.answers.update({path: (status, text)})


def is_another(server: Pretended) -> None:
    server.answers = {
        "/v1/models": (200, '{"data": [{"id": "m", "owned_by": "other"}]}'),
        "/metrics": (200, "up 1"),
    }


@pytest.mark.parametrize(
    ("look", "says"),
    [
        (broken(is_another), "what answers there is not vLLM: /version 404, /v1/models 200"),
        (broken(lambda server: setattr(server, "key", KEY)), "the server requires a key (401)"),
        (
            broken(lambda server: setattr(server, "key", "another"), KEY),
            "the server does not accept the key in VLLM_API_KEY (401)",
        ),
        (
            broken(answering("/v1/completions", 500, '{"error": "EngineDeadError"}')),
            "/health answers 200, and a generation of 4 tokens was answered with 500 and 0 tokens: {",
        ),
        (
            broken(answering("/v1/completions", 200, '{"usage": {"completion_tokens": 0}}')),
            "/health answers 200, and a generation of 4 tokens was answered with 200 and 0 tokens",
        ),
        (
            broken(answering("/v1/models", 200, '{"data": []}')),
            "/v1/models answered 200 and names no model",
        ),
        (broken(answering("/health", 503)), "it generates, and /health answers 503"),
        (
            broken(lambda server: setattr(server, "slow", "/v1/completions"), seconds=1.0),
            "/health answers 200, and 4 tokens did not come within 1 s",
        ),
        (
            broken(lambda server: setattr(server, "slow", "/health"), seconds=1.0),
            "it listens and did not answer within 1 s",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_each_fault_of_a_server_is_named(
    pretended: tuple[Pretended, str], look: Callable[[Pretended, str], Verdict], says: str
) -> None:
    verdict = look(*pretended)
    assert not verdict.passed
    assert verdict.summary.startswith(says)


def test_an_address_without_a_server_fails() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        verdict = _serving.inspect_server(f"http://127.0.0.1:{unused.getsockname()[1]}", "", 10)
    assert verdict.summary == "no HTTP server answers there: [Errno 111] Connection refused"
    assert "is the server started" in verdict.hint


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", f"http://me:{KEY}@host:8000", "file:///etc"]
)
def test_an_invalid_address_is_not_asked(url: str) -> None:
    verdict = _serving.inspect_server(url, "", 10)
    assert verdict.summary == "the address of a server is http://HOST:PORT, without a login"
    assert KEY not in repr(verdict)


def test_the_key_reaches_the_server_and_no_report(pretended: tuple[Pretended, str]) -> None:
    server, url = pretended
    server.key = KEY
    assert _serving.inspect_server(url, KEY, 10).passed
    server.answers["/v1/completions"] = (500, f"refused: Bearer {KEY}")
    verdict = _serving.inspect_server(url, KEY, 10)
    assert "refused: Bearer ***" in verdict.summary
    assert KEY not in repr(verdict)


@pytest.mark.parametrize(
    ("key", "taken"), [(f"{KEY}\r\n", True), (f"{KEY}\nx", False), (f"{KEY}\u2192", False)]
)
def test_a_key_that_no_request_can_carry_is_not_shown(
    pretended: tuple[Pretended, str], key: str, taken: bool
) -> None:
    server, url = pretended
    server.key = KEY
    verdict = _serving.inspect_server(url, key, 10)
    assert verdict.passed == taken
    assert KEY not in repr(verdict)


def test_a_key_is_not_sent_to_where_a_server_points(pretended: tuple[Pretended, str]) -> None:
    server, url = pretended

    received = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(str(self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        server.answers["/v1/models"] = (307, "")
        server.points_to = f"http://127.0.0.1:{other.server_port}/"
        verdict = _serving.inspect_server(url, KEY, 10)
        other.shutdown()
    assert not received
    assert verdict.summary == "/v1/models answered 307 and names no model"


@twin_of("serving_answers")
def test_as_a_check_it_wants_a_server(tmp_path: Path, pretended: tuple[Pretended, str]) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    without = environment.check("serving_answers")
    assert (without.outcome, without.summary) == ("skip", "needs a server: --serving URL")
    result = environment.check("serving_answers", CheckContext(profile="cpu", serving=pretended[1]))
    assert result.outcome == "pass", result.summary
    is_another(pretended[0])
    result = environment.check("serving_answers", CheckContext(profile="cpu", serving=pretended[1]))
    assert (result.outcome, result.summary) == (
        "fail",
        "what answers there is not vLLM: /version 404, /v1/models 200",
    )
