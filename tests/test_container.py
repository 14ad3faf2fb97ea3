"""docs/container: copies, calls and omissions of the Containerfile; no test builds the image."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from provision import arguments
from provision.catalog.rows import Catalogue
from provision.engine import bundle
from provision.host import from_text
from provision.plan._model import Plan
from provision.session.planning import make_plan
from provision.settings import Settings

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "container"
TEXT = (FOLDER / "Containerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its arguments, on one line."""
    joined = "".join(
        line for line in TEXT.splitlines(keepends=True) if not line.startswith("#")
    ).replace("\\\n", " ")
    result = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(name, " ".join(rest.split())) for name, _, rest in result]


def copied() -> list[str]:
    values = dict(rest.split("=", 1) for name, rest in instructions() if name == "ARG")
    words = [
        word for name, rest in instructions() if name == "COPY" for word in shlex.split(rest)[:-1]
    ]
    return [values.get(word.strip("${}"), word) for word in words if not word.startswith("--")]


def test_what_runs_is_copied_and_nothing_else() -> None:
    tool = {*bundle._OF_THE_TOOL, *bundle._FOLDERS_OF_THE_TOOL}
    assert set(copied()) == tool | {"docs/container/h100.yaml"}
    assert all((ROOT / path).exists() for path in copied())


def test_nothing_that_is_copied_is_kept_from_the_builder() -> None:
    ignored = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert {".git", "envs", "logs"} <= set(ignored)
    assert not [
        path
        for path in copied()
        for item in ignored
        if fnmatch(path, item) or path.startswith(f"{item}/")
    ]


def test_every_command_of_ours_exists() -> None:
    page = (FOLDER / "README.md").read_text()
    calls = re.findall(
        r"\./setup\.sh ([a-z][^|&)`]*)", " ".join(rest for _, rest in instructions())
    )
    assert len(calls) == 2
    inside = re.findall(r"--entrypoint \./setup\.sh vllm-ready (.*)", page)
    for call in (*calls, *inside, *re.findall(r"`\./setup\.sh ([^`]+)`", page)):
        assert arguments.parse(shlex.split(call)).verb


def test_owing_does_not_fail_the_build_and_failing_does() -> None:
    ours = [rest for name, rest in instructions() if name == "RUN" and "./setup.sh" in rest]
    assert all(rest.count("./setup.sh") == rest.count("|| [ $? -eq 5 ]") == 1 for rest in ours)
    assert instructions()[-1] == ("RUN", "./setup.sh check || [ $? -eq 5 ]")


def test_an_ordinary_user_and_no_secret() -> None:
    names = [name for name, _ in instructions()]
    first = next(at for at, (_, rest) in enumerate(instructions()) if "./setup.sh" in rest)
    assert ("USER", "vllm") in instructions()[:first]
    assert names.count("USER") == 1
    assert "ENV" not in names
    assert not re.search(
        r"token|passw|://", " ".join(rest for _, rest in instructions()), re.IGNORECASE
    )


@pytest.mark.parametrize("name", ["h100.yaml", "cpu.yaml"])
def test_the_described_hosts_can_be_planned(name: str, catalogue: Catalogue) -> None:
    text = (FOLDER / name).read_text()
    plan = make_plan(from_text.parse(text, name), Settings(), catalogue)
    assert isinstance(plan, Plan)
    assert plan.python == yaml.safe_load(text)["python"]
