"""odd_pair_out: a slow pair is named, compared only with pairs of the same link."""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace

import pytest

from checks import _devices, _pairs, _timing
from checks import odd_pair_out as check
from checks._contract import Context
from tests.checks.twins import twin_of

ALL = _pairs.pairs(4)
NVLINK = dict.fromkeys(ALL, "NV18")


def test_pairs_alike_pass_and_are_shown() -> None:
    rates = {pair: 370.0 + number for number, pair in enumerate(ALL)}
    result = check.judge(rates, NVLINK, "as timed")
    assert (result.passed, result.summary) == (
        True,
        "no pair is far slower than its peers: NV18 370 to 381 GB/s",
    )
    assert result.evidence["pairs"][0] == {"pair": "GPU 0 to 1", "link": "NV18", "gb_per_s": 370.0}


@twin_of("odd_pair_out")
def test_the_odd_pair_out_is_named() -> None:
    result = check.judge(dict.fromkeys(ALL, 370.0) | {(2, 1): 150.0}, NVLINK, "")
    assert (result.passed, result.summary) == (
        False,
        "GPU 2 to 1: 150 GB/s over NV18, the others 370",
    )


def test_a_slower_kind_of_link_is_no_fault() -> None:
    near = {pair: "PIX" if set(pair) in ({0, 1}, {2, 3}) else "SYS" for pair in ALL}
    rates = {pair: 24.0 if kind == "PIX" else 9.0 for pair, kind in near.items()}
    assert check.judge(rates, near, "").summary == (
        "no pair is far slower than its peers: PIX 24 to 24 GB/s, SYS 9 to 9 GB/s"
    )
    assert (
        check.judge(rates | {(0, 1): 12.0}, near, "").summary
        == "GPU 0 to 1: 12 GB/s over PIX, the others 24"
    )


def test_of_two_gpus_one_direction_is_held_to_the_other() -> None:
    result = check.judge({(0, 1): 25.0, (1, 0): 11.0}, {}, "")
    assert (result.passed, result.summary) == (
        False,
        "GPU 1 to 0: 11 GB/s over an unknown link, the others 25",
    )


def test_pairs_with_unknown_links_are_not_compared_with_each_other() -> None:
    near = {pair: 24.0 if set(pair) == {0, 1} else 9.0 for pair in ALL}
    assert check.judge(near, {}, "").passed


@twin_of("odd_pair_out")
def test_every_pair_is_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = SimpleNamespace(copy_=lambda _: None)
    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(ones=lambda *_, **__: tensor, uint8="")
    )
    monkeypatch.setattr(_devices, "errors_if_full", contextlib.nullcontext)
    took = iter((1000.0, 2000.0))
    monkeypatch.setattr(
        _timing, "measure", lambda *_, **__: _timing.Timing((next(took),) * 7, "as timed")
    )
    facts = {"gpu_links": {"pairs": [{"a": "2", "b": "3", "kind": "NV18"}]}}
    result = check.body(Context(profile="cuda", scratch="", gpus=("2", "3"), facts=facts))
    assert [
        (figure.name, figure.unit, figure.of, figure.value, figure.repeats)
        for figure in result.figures
    ] == [
        ("peer copy", "GB/s", {"from": "GPU 0", "to": "GPU 1", "link": "NV18"}, 134.22, 7),
        ("peer copy", "GB/s", {"from": "GPU 1", "to": "GPU 0", "link": "NV18"}, 67.109, 7),
    ]
    assert (result.passed, result.gpus) == (False, ("2", "3"))
