"""The files of docs/serving.md: the script with a pretended server, the units, the alert rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs" / "systemd" / "vllm-serve.sh"
RULES = ROOT / "docs" / "prometheus" / "vllm-ready.rules.yml"


class Host:
    """A prefix with a pretended vLLM, and a systemctl that only writes down its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.prefix = folder, folder / "envs"
        self.asked = folder / "systemctl.log"
        tool = folder / "bin" / "systemctl"
        tool.parent.mkdir()
        tool.write_text(
            f'#!/bin/sh\necho "$@" >>{self.asked}\n[ "$1" != show ] || echo "$SERVER"\n'
        )
        tool.chmod(0o755)

    def environment(self, name: str, *, used: bool = True, verified: bool = True) -> Path:
        here = self.prefix / name
        for folder in ("bin", ".vllm-ready/verified"):
            (here / folder).mkdir(parents=True)
        vllm = here / "bin" / "vllm"
        vllm.write_text('#!/bin/sh\necho "$0 $*"\n')
        vllm.chmod(0o755)
        if used:
            (here / ".vllm-ready" / "used").touch()
        if verified:
            (here / ".vllm-ready" / "verified" / "host.json").touch()
        current = self.prefix / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(name)
        return here

    def run(self, verb: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "PREFIX": str(self.prefix)}
        return subprocess.run(
            ["bash", str(SCRIPT), verb],
            env={**env, "MODEL": "some/model", **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_it_starts_from_the_real_folder(host: Host) -> None:
    here = host.environment("one")
    done = host.run("start", ARGS="--tensor-parallel-size 2", PORT="8001")
    assert done.returncode == 0
    words = "serve some/model --port 8001 --tensor-parallel-size 2"
    assert (done.stdout, done.stderr) == (f"{here}/bin/vllm {words}\n", "")


def test_it_refuses_only_what_was_never_verified(host: Host) -> None:
    assert host.run("start").returncode == 78
    host.environment("never", used=False, verified=False)
    refused = host.run("start")
    assert refused.returncode == 78
    assert "was never verified: run ./setup.sh" in refused.stderr
    host.environment("later", verified=False)
    warned = host.run("start")
    assert warned.returncode == 0
    assert "warning: a check of" in warned.stderr


class Busy(BaseHTTPRequestHandler):
    """A server that has two requests until it was asked three times."""

    asked = 0

    def do_GET(self) -> None:
        Busy.asked += 1
        left = 2.0 if Busy.asked < 3 else 0.0
        text = f'vllm:num_requests_running{{model="m"}} {left}\nvllm:num_requests_waiting{{}} 0.0\n'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Be silent."""


def test_a_switch_restarts_nothing_unless_asked_and_then_waits(host: Host) -> None:
    old = host.environment("old")
    code = "import time; time.sleep(60)"
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server,
        subprocess.Popen([sys.executable, "-c", code, f"{old}/bin/vllm"]) as served,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            asked = {"SERVER": str(served.pid), "PORT": str(server.server_address[1])}
            assert (
                "the server already uses"
                in host.run("switch", RESTART_ON_SWITCH="yes", **asked).stdout
            )
            host.environment("new")
            assert "stays as it is" in host.run("switch", **asked).stdout
            assert "restart" not in host.asked.read_text()
            done = host.run("switch", RESTART_ON_SWITCH="yes", **asked)
            assert done.returncode == 0, done.stderr
            assert Busy.asked == 3, "it waits until no request runs"
            assert host.asked.read_text().splitlines()[-1] == "restart vllm-serve.service"
            Busy.asked = -(10**6)
            bounded = host.run("switch", RESTART_ON_SWITCH="yes", DRAIN_SECONDS="1", **asked)
            assert bounded.returncode == 0
            assert host.asked.read_text().splitlines()[-1] == "restart vllm-serve.service"
        finally:
            served.kill()
            server.shutdown()


def test_it_waits_until_the_server_answers_or_has_ended(host: Host) -> None:
    host.environment("one")
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ready = host.run("wait", PORT=str(server.server_address[1]), MAINPID=str(os.getpid()))
        server.shutdown()
    assert ready.returncode == 0
    ended = host.run("wait", PORT="9", MAINPID="4194305")
    assert ended.returncode == 1
    assert "has ended while it started" in ended.stderr


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    """They fire for a host that is not verified, and only for that."""
    if not (promtool := shutil.which("promtool")):
        pytest.skip("no promtool here")
    (tmp_path / "test.yml").write_text(
        f"""\
rule_files: [{RULES}]
tests:
- interval: 1m
  input_series:
  - {{series: 'vllm_ready_verified{{instance="bad"}}', values: '0x20'}}
  - {{series: 'vllm_ready_verified{{instance="good"}}', values: '1x20'}}
  alert_rule_test:
  - eval_time: 10m
    alertname: VllmHostNotVerified
    exp_alerts:
    - exp_labels: {{severity: critical, instance: bad}}
      exp_annotations:
        summary: bad is not verified for vLLM
        description: "Run ./setup.sh report there: it names what failed, its log and the next command."
"""
    )
    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "test.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
