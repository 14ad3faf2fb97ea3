"""fit/prove.py and printed.py: a stand-in for vLLM that starts, differs, refuses, breaks or hangs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from provision.fit import describe, document, printed, prove
from provision.fit._model import Device, Request
from provision.fit.document import Fit
from tests.fit import runs
from tests.fit.small_models import MODELS

CPU = Device(name="CPU", cc=None, count=1, total=23.5, cpu=True)
# 1 GiB holds 682 blocks of 128 tokens of the dense small model.
GOOD = """
(Worker pid=1) INFO [cpu_worker.py:260] Explicitly set (1.0/23.54) GiB for KV cache on node 0.
(EngineCore pid=2) INFO [kv_cache_utils.py:2327] CPU KV cache size: 87,296 tokens, Maximum concurrency for 4,096 tokens per request: 21.31x
INFO:     Application startup complete.
"""


def predicted(**flags: object) -> Fit:
    fields = {"kv_cache_bytes": 2**30, "max_model_len": 4096, **flags}
    model = describe.describe(MODELS["dense"], "small", "small")
    return document.make(model, CPU, Request(**fields), "0.32.0", runs.CATALOGUE)  # type: ignore[arg-type]


def stand_in(place: Path, output: str, ending: str = "exec sleep 600") -> str:
    """Write a `vllm` that notes its words and its processes, prints this, and ends like this."""
    script = place / "bin" / "vllm"
    script.parent.mkdir(parents=True)
    text = f'#!/bin/sh\necho "$@" > {place}/words\necho $$ > {place}/pid\n'
    script.write_text(f"{text}cat <<'END'\n{output}\nEND\n{ending}\n")
    script.chmod(0o755)
    return str(place)


def proved(fit: Fit, place: str) -> Fit:
    return prove.prove(fit, place, json.dumps(MODELS["dense"]), dict(os.environ), lambda _: None)


def gone(place: Path) -> bool:
    pid = int((place / "pid").read_text())
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


def test_a_server_that_starts_as_predicted(tmp_path: Path) -> None:
    fit = proved(predicted(), stand_in(tmp_path, GOOD))
    assert fit.proof is not None
    assert (fit.proof.result, fit.proof.agrees) == (prove.AS_PREDICTED, True)
    assert [figure.name for figure in fit.proof.figures] == ["kv_cache", "tokens", "concurrency"]
    words = (tmp_path / "words").read_text().split()
    assert words[0] == "serve"
    assert "--load-format dummy --skip-tokenizer-init" in " ".join(words)
    assert gone(tmp_path)


def test_figures_outside_the_interval(tmp_path: Path) -> None:
    fit = proved(predicted(), stand_in(tmp_path, GOOD.replace("87,296", "80,000")))
    assert fit.proof is not None
    assert fit.proof.agrees is False
    assert fit.proof.result == "starts, and is outside the interval: tokens"


def test_a_refusal_that_was_predicted_and_one_that_was_not(tmp_path: Path) -> None:
    says = "ValueError: To serve at least one request, 2 GiB KV cache is needed"
    unforeseen = proved(predicted(), stand_in(tmp_path / "a", says, "exit 1"))
    assert unforeseen.proof is not None
    assert (unforeseen.proof.refused, unforeseen.proof.agrees) == (True, False)
    small = predicted(kv_cache_bytes=2**20)
    assert small.verdict == "does not fit"
    foreseen = proved(small, stand_in(tmp_path / "b", says, "exit 1"))
    assert foreseen.proof is not None
    assert (foreseen.proof.refused, foreseen.proof.agrees) == (True, True)


@pytest.mark.parametrize("ending", ["exit 1", "kill -9 $$"])
def test_a_proof_that_could_not_run(tmp_path: Path, ending: str) -> None:
    fit = proved(predicted(), stand_in(tmp_path, "ImportError: no libnuma", ending))
    assert fit.proof is not None
    assert fit.proof.agrees is None
    assert "could not run" in fit.proof.result


def test_a_server_that_never_answers_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "_DEADLINE_S", 0.5)
    fit = proved(predicted(), stand_in(tmp_path, "loading"))
    assert fit.proof is not None
    assert "did not end within" in fit.proof.result
    assert gone(tmp_path)


@pytest.mark.parametrize(
    ("line", "figure", "value"),
    [
        ("Model loading took 14.99 GiB memory and 3.4 seconds", "weights", 14.99),
        ("Model loading took 14.9889 GB and 8.7 seconds", "weights", 14.9889),
        ("Loading model weights took 13.9476 GB", "weights", 13.9476),
        (
            "non_torch_memory takes 0.25GiB; the rest of the memory reserved for KV Cache is 8.69GiB.",
            "kv_cache",
            8.69,
        ),
        ("Available KV cache memory: 58.11 GiB", "kv_cache", 58.11),
        ("GPU KV cache size: 476,016 tokens", "tokens", 476016),
        ("# GPU blocks: 1381, # CPU blocks: 819", "blocks", 1381),
        ("# cuda blocks: 14815, # CPU blocks: 1310", "blocks", 14815),
        ("Maximum concurrency for 8,192 tokens per request: 58.11x", "concurrency", 58.11),
        ("Graph capturing finished in 9 secs, took 0.91 GiB", "cuda_graphs", 0.91),
    ],
)
def test_the_words_of_every_release(line: str, figure: str, value: float) -> None:
    assert printed.read([f"INFO 12-01 [x.py:1] {line}"])[figure] == value


def test_a_long_line_is_read_quickly() -> None:
    began = time.monotonic()
    printed.read(["Graph capturing finished in " * 50_000])
    printed.refusal(["ValueError: " * 100_000])
    assert time.monotonic() - began < 1
