"""fit/vllm_command.py: the forms that vLLM's own command line accepts, and what is wrong in one."""

from __future__ import annotations

import pytest

from provision import options
from provision.errors import WrongUsage
from provision.fit import vllm_command


@pytest.mark.parametrize(
    "words",
    [
        "vllm serve m --tensor-parallel-size 4",
        "vllm serve m --tensor-parallel-size=4",
        "vllm serve m --tensor_parallel_size 4",
        "vllm serve --tensor-parallel-size 4 m",
        "vllm serve m -tp 4",
        "vllm serve --model m -tp=4",
        "CUDA_VISIBLE_DEVICES=0 /opt/bin/vllm serve m -tp 4",
        "python3 -m vllm.entrypoints.openai.api_server --model m -tp 4",
    ],
)
def test_forms_of_a_command(words: str) -> None:
    name, request, _ = vllm_command.parse(words.split())
    assert (name, request.tensor_parallel) == ("m", 4)
    assert request.command


@pytest.mark.parametrize(
    ("text", "value"),
    [("8192", 8192), ("32k", 32000), ("32K", 32768), ("1.5k", 1500), ("1M", 1048576)],
)
def test_numbers_as_vllm_reads_them(text: str, value: int) -> None:
    assert vllm_command.number(text) == value


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("ls", "does not begin with `vllm serve`"),
        ("vllm serve", "names no model"),
        ("vllm serve --port 80", "names no model"),
        ("vllm serve a b", "names two models"),
        ("vllm serve m --max-model-len", "has no value"),
        ("vllm serve m --max-model-len many", "is no whole number"),
        ("vllm serve m --max-num-seqs 0", "0 is too small"),
        ("vllm serve m --gpu-memory-utilization 1.2", "is not above 0"),
        ("vllm serve m --gpu-memory-utilization much", "is no number"),
        ("python3 -m http.server", "does not start a server of vLLM"),
    ],
)
def test_what_is_wrong_is_named(words: str, says: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        vllm_command.parse(words.split())
    assert says in caught.value.what


def test_a_switch_takes_no_word() -> None:
    name, request, _ = vllm_command.parse(
        ["vllm", "serve", "--enforce-eager", "m", "--trust-remote-code"]
    )
    assert name == "m"
    assert request.enforce_eager
    assert request.kept == ("--trust-remote-code",)


def test_a_length_that_vllm_chooses() -> None:
    _, request, _ = vllm_command.parse(["vllm", "serve", "m", "--max-model-len", "auto"])
    assert request.auto_length
    assert request.max_model_len is None


def test_a_tower_that_is_switched_off() -> None:
    _, request, _ = vllm_command.parse(
        ["vllm", "serve", "m", "--limit-mm-per-prompt", '{"image": 0}']
    )
    assert request.text_only


def test_our_own_flags_are_those_that_are_understood() -> None:
    assert {*options.SIZING, *options.SIZING_SWITCHES} == vllm_command.FIELDS.keys()
