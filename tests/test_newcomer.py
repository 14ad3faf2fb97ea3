"""A newcomer in a minimal Debian: from the clone to a served model, with the output of the docs."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import debian_root
from tests.checks import real
from tests.debian_root import DebianRoot, Terminal
from tests.test_docs import assert_shown, between

PAGE = "docs/quick-start.md"
# Everything that differs between two runs: ids and times of runs, numbers, and blanks of columns.
VARYING = (
    (re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\d+(?:\.\d+)*"), "N"),
    (re.compile(r"\s+"), " "),
)

pytestmark = [pytest.mark.environment, pytest.mark.long]


@pytest.fixture
def root() -> Iterator[DebianRoot]:
    if why := debian_root.missing():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # memory would be too small
        real.needs(Path(folder), gigabytes=8)
        made = DebianRoot(Path(folder) / "root")
        home = f"/home/{debian_root.USER}"
        target = f"{made.folder}{home}/vllm-ready"
        subprocess.run(["git", "clone", "-q", "--no-local", str(real.ROOT), target], check=True)
        made.run("chown", "-R", f"{debian_root.USER}:", home)
        yield made


def without_varying(text: str) -> str:
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return text.strip()


def test_from_the_clone_to_a_served_model(
    root: DebianRoot, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with Terminal(root, tmp_path / "work") as terminal:
        terminal.command("cd vllm-ready")
        refused = terminal.command("./setup.sh --yes", 300)
        assert refused[-1] == "4"
        assert "apt-get install libnuma1" in refused[-2]
        root.run("apt-get", "install", "-qq", "libnuma1")

        terminal.begin("./setup.sh")
        terminal.wait_for(r"\[y/N\]", 120)
        terminal.type("y")
        *first, status = terminal.end(900)
        assert status == "0", first
        assert_as_shown("output: the first run", first, request)
        *again, status = terminal.command("./setup.sh")
        assert status == "0", again
        assert_as_shown("output: the second run", again, request)

        make = "from checks import _tiny_model; print(_tiny_model.make('/tmp'))"
        model, status = terminal.command(f'python3 -c "{make}"')
        assert status == "0"
        serve = again[-1].removeprefix("serve a model: ").replace("MODEL", model)
        with Terminal(root, tmp_path / "server") as server:
            server.type(serve)
            server.wait_for("Application startup complete", 300)
            *checked, status = terminal.command(
                "./setup.sh check --serving http://localhost:8000", 120
            )
            assert status == "0", checked
            assert_as_shown("output: a running server", checked, request)


def assert_as_shown(mark: str, lines: list[str], request: pytest.FixtureRequest) -> None:
    shown = "".join(f"{line.rstrip()}\n" for line in lines)
    if request.config.getoption("--renew-golden"):
        assert_shown(PAGE, mark, shown, request)
    documented = between((real.ROOT / PAGE).read_text(), mark)
    assert without_varying(shown) == without_varying(documented)
