"""Configs with odd values in every field: an answer or one sentence, never a crash, and quickly."""

from __future__ import annotations

import contextlib
import copy
import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from provision.errors import Failure
from provision.fit import describe, document
from provision.fit._model import Device, Request
from tests.fit import runs
from tests.fit.test_describe import MODELS

ODD: tuple[Any, ...] = (
    *(None, True, "", "x", [], {}, -1, 0, 1, 3, 10**12, 1e308, 0.5, [None], [-1], ["x"]),
    {"a": 1},
    [10**9],
)
KINDS = (
    "Llama-3.2-1B",
    "Qwen3-Next-80B-A3B-Instruct",
    "DeepSeek-V3",
    "gemma-3-27b-it",
    "Llama-4-Maverick-17B-128E",
    "Nemotron-H-8B-Base-8K",
    "Jamba-v0.1",
    "Qwen3-VL-8B-Instruct",
)
GPU = Device(name="H100", cc="9.0", count=2, total=79.19, nvlink=True)


def odd(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the config with each field, and each of its parts, replaced by each odd value."""
    paths: list[tuple[str, ...]] = [(key,) for key in config]
    paths += [(k, inner) for k, part in config.items() if isinstance(part, dict) for inner in part]
    for path in paths:
        for value in ODD:
            changed = copy.deepcopy(config)
            target = changed
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = value
            yield f"{'.'.join(path)} = {value!r}", changed


def answer(config: dict[str, Any]) -> Failure | None:
    """Return None for a prediction, or the failure that names what is wrong."""
    try:
        model = describe.parse(json.dumps(config), "m", "config.json")
        document.make(model, GPU, Request(), "0.32.0", runs.CATALOGUE)
    except Failure as failure:
        return failure
    return None


def is_clear(failure: Failure | None) -> bool:
    return failure is None or (failure.exit_code == 2 and len(failure.what) < 200)


@pytest.mark.parametrize("name", KINDS)
def test_an_odd_field_is_answered(name: str) -> None:
    refused = 0
    for what, config in odd(MODELS[name]["config"]):
        began = time.monotonic()
        failure = answer(config)
        refused += failure is not None
        assert is_clear(failure), what
        assert time.monotonic() - began < 2, what
    assert refused > 20


@pytest.mark.parametrize("value", ODD)
def test_an_odd_format_is_answered(value: Any) -> None:
    llama = MODELS["Llama-3.2-1B"]["config"]
    for method in ("fp8", "awq", "compressed-tensors", "bitsandbytes", "modelopt", "mxfp4", "new"):
        for key in ("bits", "group_size", "weight_block_size", "ignore", "config_groups"):
            document_of_format = {"quant_method": method, key: value}
            assert is_clear(answer({**llama, "quantization_config": document_of_format})), method


@pytest.mark.parametrize("pattern", [r"re:([\w.]*)*#", r"re:((?:[\w.]|\w)+)+!"])
def test_a_pattern_that_takes_for_ever_is_not_tried(pattern: str) -> None:
    llama, began = MODELS["Llama-3.2-1B"]["config"], time.monotonic()
    layer = {"quant_method": "fp8", "ignore": [pattern]}
    with interrupted_after(5):
        assert answer({**llama, "quantization_config": layer}) is None
    assert time.monotonic() - began < 2


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise in the main thread if the body takes longer; `re` asks for signals while it searches."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
