"""Needs: a range of compute capabilities, and a command that a variable names."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from checks._contract import Context, Needs, unmet_need

CONTEXT = Context(profile="cuda", scratch="", gpus=("0", "1"))


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        ([(9, 0), (9, 0)], ""),
        ([(8, 0), (9, 0)], ""),
        ([(8, 0), (8, 6)], "needs compute capability 9.0; the best here is 8.6"),
        (
            [(12, 0), (12, 1)],
            "supports at most compute capability 11.9; the lowest here is 12.0",
        ),
        ([], ""),
    ],
)
def test_one_gpu_must_lie_in_the_range(
    monkeypatch: pytest.MonkeyPatch, present: list[tuple[int, int]], reason: str
) -> None:
    cuda = SimpleNamespace(
        device_count=lambda: len(present), get_device_capability=lambda number: present[number]
    )
    real_import = importlib.import_module

    def import_module(name: str) -> Any:
        return SimpleNamespace(cuda=cuda) if name == "torch" else real_import(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    needs = Needs(capability=(9, 0), most_capability=(11, 9))
    assert unmet_need(needs, CONTEXT) == reason


def test_a_variable_may_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Needs(tools=("no-such-compiler $CC",))
    monkeypatch.delenv("CC", raising=False)
    assert unmet_need(needs, CONTEXT) == "needs no-such-compiler on PATH"
    monkeypatch.setenv("CC", "sh -e")
    assert unmet_need(needs, CONTEXT) == ""
