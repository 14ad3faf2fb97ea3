"""What is shared names nobody: canaries in every text of a report at every depth; versions and structure stay."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.report import read, share
from provision.report._model import Report
from tests.report import canaries
from tests.report.canaries import CANARIES, ME, VERSIONS
from tests.report.test_texts import report
from tests.test_cli import ROOT


def texts(value: Any) -> Iterator[str]:
    """Every text, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def shape(value: Any) -> Any:
    """The same with every text taken out."""
    if isinstance(value, dict):
        return [shape(one) for one in value.values()]
    return [shape(one) for one in value] if isinstance(value, list) else type(value)


def test_no_canary_is_left_in_any_text_and_all_versions_are() -> None:
    full = msgspec.to_builtins(canaries.report())
    assert sum("miriam" in text for text in texts(full)) > 40, "the fields are filled"
    shared = msgspec.to_builtins(share.shared(canaries.report(), ME))
    for text in texts(shared):
        assert not [needle for needle in CANARIES if needle.lower() in text.lower()], text
        assert "S3RIAL" not in text
        assert text != "x y"
        if "2.13.0+cu129" in text:
            assert all(version in text for version in VERSIONS), text
    assert shape(shared) == shape(full)
    assert sum("2.13.0+cu129" in text for text in texts(shared)) == sum(
        "2.13.0+cu129" in text for text in texts(full)
    )


def test_it_is_a_report_still_and_to_share_twice_changes_nothing() -> None:
    once = share.shared(canaries.report(), ME)
    assert read.report(msgspec.json.encode(once), "r") == once
    assert share.shared(once, ME) == once


def test_what_names_nobody_stays_as_it_is() -> None:
    made: Report = report()
    assert share.shared(made, ME) == made
    urls = "https://github.com/x/y https://download.pytorch.org/whl/cu129 http://localhost:8000/v1 file:///data/wheels"
    told = share.shared(msgspec.structs.replace(made, commands={"50-vllm": (urls,)}), ME)
    assert told.commands == {"50-vllm": (urls,)}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "plans").glob("*.json"))[::5], ids=lambda path: path.stem
)
def test_plans_and_what_checks_say_name_nobody_and_stay_as_they_are(path: Path) -> None:
    """All that is said of our own accord: nothing in it looks like somebody."""
    said = tuple(texts(json.loads(path.read_text())))
    checks = (
        re.findall(r'"([^"\n{}]{8,})"', one.read_text()) for one in (ROOT / "checks").glob("*.py")
    )
    words = (*said, *(line for lines in checks for line in lines if "://" not in line))
    told = share.shared(msgspec.structs.replace(report(), notes={"": words}), ME)
    assert [pair for pair in zip(words, told.notes[""], strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize(
    "text",
    [
        "vllm.entrypoints.cli.main vllm.v1.core.sched.io torch.distributed.nn.functional hypothesis.internal.entropy.py",
        "vllm-0.33.0+cu129-cp38-abi3-manylinux_2_31_x86_64.whl flash_attn-2.8.3.post1+cu12torch2.9cxx11abitrue.tar.gz",
        "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl libcudart.so.13.0.96 nvcc-12.9.86 sm_90a",
        "lib/python3.12/site-packages/torch/nn/modules/linear.py:134 in forward; torch.nn.Linear(8, 8)",
        "see docs.nvidia.com and download.pytorch.org; 0000:17:00.0 00000000:ca:00.0 at 12:30:45",
        "SN74 sn 7 uid=0 the cookie: none; a signature of f(x)=2; PWD=/data OLDPWD=/data npm_config_cache=x",
        "GPU 0:1 tried on GPU 0, 1 -> GPU 0; 506b:00:00.0; ip-adapter; the users: 3; a.b.de",
    ],
)
def test_what_only_looks_like_a_name_stays(text: str) -> None:
    made = msgspec.structs.replace(report(), notes={"": (text,)})
    assert share.shared(made, ME).notes[""] == (text,)


def test_numbers_that_name_a_device_are_hidden_and_counts_are_not() -> None:
    facts = {
        "serial": 1654922001234,
        "users": 3,
        "mac": None,
        "owner": True,
        "Serial Number": [7.5e6],
        "total": 1654922,
    }
    made = msgspec.structs.replace(report(), host={"facts": facts})
    told = share.shared(made, ME).host["facts"]
    assert told == {**facts, "serial": "***", "Serial Number": ["***"]}


@pytest.mark.parametrize(
    "letters", ["a", "a-", "a.", "/home/*** a ", "cookie: ", "-----BEGIN PRIVATE KEY-----"]
)
def test_a_long_line_takes_no_minutes(letters: str) -> None:
    """A pattern that looks again from each letter would."""
    long = msgspec.structs.replace(report(), notes={"": (letters * (200_000 // len(letters)),)})
    began = time.process_time()
    share.shared(long, ME)
    assert time.process_time() - began < 20


def test_what_is_alike_once_it_is_hidden_stays_several() -> None:
    made = msgspec.structs.replace(
        report(), settings={"10.0.0.1": "a", "10.0.0.2": "b", "10.0.0.3": "c"}
    )
    assert list(share.shared(made, ME).settings.values()) == ["a", "b", "c"]


@pytest.mark.parametrize("user", ["pass", "done", "must", "verified", "cuda", "higher"])
def test_a_user_called_like_one_of_our_words_costs_no_report(user: str) -> None:
    scrubber = type(ME)(home=f"/home/{user}", users=(user,), hosts=(user,))
    shared = share.shared(report(), scrubber)
    assert read.report(msgspec.json.encode(shared), "r").verdict == "not verified"


@settings(deadline=None)  # the machine may be busy
@given(
    st.sampled_from(sorted(CANARIES)),
    st.sampled_from(["", " ", "\n", '"', "'", "(", "[", "=", ", ", "a: "]),
    st.sampled_from(["", " ", "\n", '"', "'", ")", "]", ", ", ". "]),
)
def test_a_canary_is_found_between_whatever_stands_around_it(
    needle: str, before: str, after: str
) -> None:
    text = f"{before}{CANARIES[needle]}{after}"
    made = msgspec.structs.replace(report(), notes={"": (text,)}, settings={"deep": [{"er": text}]})
    told = " ".join(texts(msgspec.to_builtins(share.shared(made, ME))))
    assert needle.lower() not in told.lower(), told
