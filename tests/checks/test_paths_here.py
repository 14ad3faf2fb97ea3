"""The check of the folder that an environment's commands name."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import paths_here
from checks._contract import Context
from tests.checks.twins import twin_of


def environment(folder: Path, named: str) -> Context:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "vllm").write_text(f"#!/bin/sh\nhere={named}\n")
    (folder / "bin" / "activate").write_text(f"# sourced\nVIRTUAL_ENV={named}\n")
    return Context(profile="cpu", scratch="", prefix=str(folder))


def test_an_environment_at_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "two words"
    assert paths_here.body(environment(folder, f"'{folder}'")).passed


@twin_of("paths_here")
@pytest.mark.parametrize("exists", [True, False])
def test_a_moved_or_copied_environment_fails(tmp_path: Path, exists: bool) -> None:
    context = environment(tmp_path / "new", str(tmp_path / "old"))
    if exists:
        (tmp_path / "old").mkdir()
    verdict = paths_here.body(context)
    assert not verdict.passed
    assert verdict.summary.startswith(f"bin/vllm names {tmp_path / 'old'}: this environment was")


def test_files_that_name_nothing_fail(tmp_path: Path) -> None:
    context = environment(tmp_path / "new", "'")
    assert not paths_here.body(context).passed
