"""fit/rules.py: each reason to refuse, on the smallest run that shows it, and its twin that starts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from provision.fit import describe, device, size
from provision.fit._model import Request
from provision.fit.memory import Layout
from provision.fit.size import Sized
from provision.host import from_text
from tests.fit import runs

LLAMA = runs.document()["models"]["Llama-3.1-8B-Instruct"]
MOE = runs.document()["models"]["Qwen3-235B-A22B-FP8"]
FP8 = {"quant_method": "fp8"}


def sized(
    config: dict[str, Any],
    gpu: str = "H100",
    version: str = "0.32.0",
    tensor: int = 1,
    pipeline: int = 1,
    **flags: Any,
) -> Sized:
    host = from_text.parse(yaml.safe_dump({"gpus": [{"name": gpu, "count": 8}]}), "host")
    kind, _ = device.of_host(host, runs.CATALOGUE)
    model = describe.describe(config, "m", "m")
    request = Request(judged=True, command=True, **flags)
    layout = Layout(tensor=tensor, pipeline=pipeline)
    return size.size(model, kind, request, version, runs.CATALOGUE, layout)


def why(*arguments: Any, **flags: Any) -> str:
    return "; ".join(sized(*arguments, **flags).reasons)


def test_a_run_that_no_rule_touches_fits() -> None:
    assert sized(LLAMA, max_model_len=8192).verdict == "fits"


@pytest.mark.parametrize(
    ("tensor", "pipeline", "says"),
    [
        (3, 1, "32 attention heads are not divisible by TP 3"),
        (1, 33, "32 layers cannot fill PP 33"),
    ],
)
def test_divisions(tensor: int, pipeline: int, says: str) -> None:
    result = sized(LLAMA, tensor=tensor, pipeline=pipeline)
    assert result.verdict == "refused"
    assert says in "; ".join(result.reasons)


def test_a_block_of_scales_is_not_divided() -> None:
    assert "is not divisible by block_n = 128; expert parallelism" in why(MOE, tensor=8)
    assert "block_n" not in why(MOE, tensor=4)
    assert "block_n" not in why(MOE, tensor=8, expert_parallel=True)


@pytest.mark.parametrize(
    ("gpu", "version", "native"),
    [
        ("H100", "0.32.0", "native"),
        ("A100 80GB", "0.32.0", "weight-only"),
        ("T4", "0.32.0", "weight-only"),
        ("T4", "0.19.0", "refused"),
        ("V100", "0.19.0", "refused"),
    ],
)
def test_fp8_by_capability(gpu: str, version: str, native: str) -> None:
    result = sized({**LLAMA, "quantization_config": FP8}, gpu, version, max_model_len=2048)
    assert result.native == native
    assert ("compute capability" in "; ".join(result.reasons)) is (native == "refused")


def test_bfloat16_below_8_0() -> None:
    assert "bfloat16 needs compute capability 8.0" in why(LLAMA, "T4", dtype="bfloat16")
    assert "bfloat16" in why(LLAMA, "T4", "0.8.5")  # before 0.9.1 dtype auto does not fall back
    assert sized(LLAMA, "T4").settings.dtype == "float16"
    assert sized(runs.document()["models"]["gemma-2-27b-it"], "T4").settings.dtype == "float32"


def test_float16_where_a_release_refuses_it() -> None:
    gemma = runs.document()["models"]["gemma-2-27b-it"]
    assert "gemma2 is not served in float16" in why(gemma, dtype="float16")
    assert "gemma2" not in why(gemma, "H100", "0.9.0", dtype="float16")


def test_positions() -> None:
    assert "above the 131072 positions" in why(LLAMA, max_model_len=131073)
    assert "positions" not in why(LLAMA, max_model_len=131072)


def test_architectures_by_release() -> None:
    qwen = runs.document()["models"]["Qwen3.6-27B"]
    reason = why(qwen, "H200", "0.10.0")
    assert reason.startswith("Qwen3_5ForConditionalGeneration needs vLLM 0.")
    needed = reason.split(" needs vLLM ")[1].split(" ")[0]
    assert "needs vLLM" not in why(qwen, "H200", needed)
    assert "no release of vLLM" in why({**LLAMA, "architectures": ["FooForCausalLM"]})


def test_states_against_requests_at_once() -> None:
    qwen = runs.document()["models"]["Qwen3.6-27B-FP8"]
    assert "max_num_seqs 1024 exceeds the" in why(qwen, utilisation=0.95, max_model_len=32768)
    fewer = sized(qwen, utilisation=0.95, max_model_len=32768, max_num_seqs=256)
    assert fewer.verdict == "fits"
    eager = sized(qwen, utilisation=0.95, max_model_len=32768, enforce_eager=True)
    assert not any("Mamba" in reason for reason in eager.reasons)


def test_an_fp8_cache_needs_a_backend() -> None:
    assert "fp8 KV cache" in why(LLAMA, "A100 80GB", kv_cache_dtype="fp8")
    assert "fp8 KV cache" not in why(LLAMA, "L40S", kv_cache_dtype="fp8")


def test_what_is_not_modelled_is_never_sure() -> None:
    assert sized(LLAMA, max_model_len=8192, unmodelled=("--speculative-config",)).verdict == "tight"


def test_memory_decides_what_no_rule_does() -> None:
    assert "more than the" in why(LLAMA, "RTX 3060")
    long = why(LLAMA, "RTX 4090", max_model_len=131072)
    assert "one request of 131072 tokens needs 16.00 GiB of KV cache" in long
