"""fit/choose.py, advice.py, document.py: the layout, what was rejected, what helps, and the command."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from provision.fit import describe, device, document, vllm_command
from provision.fit._model import Request
from provision.fit.document import Fit
from provision.host import from_text
from tests.fit import runs
from tests.fit.test_describe import MODELS


def fit(name: str, gpus: list[dict[str, Any]], version: str = "0.32.0", **flags: Any) -> Fit:
    host = from_text.parse(yaml.safe_dump({"gpus": gpus}), "host")
    kind, said = device.of_host(host, runs.CATALOGUE)
    request = Request(**flags)
    return document.make(runs.model(name), kind, request, version, runs.CATALOGUE, said=said)


def gpus(name: str, count: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, "count": count, **more}]


def test_the_fewest_gpus_that_serve_are_taken() -> None:
    result = fit("Llama-3.1-8B-Instruct", gpus("H100", 8))
    assert (result.chosen.tp, result.verdict) == (1, "fits")
    assert [r.candidate for r in result.rejected] == ["TP 2", "TP 4", "TP 8"]
    assert "times as many KV tokens" in result.rejected[0].reason
    assert "8 replicas of TP 1 use all 8 GPUs" in result.advice


def test_a_large_model_takes_as_many_as_it_needs() -> None:
    result = fit("Kimi-Dev-72B", gpus("H100", 8), context=32768)
    assert result.chosen.tp == 4
    assert result.serve[:3] == ("vllm", "serve", "Kimi-Dev-72B")
    assert result.serve[3:5] == ("--tensor-parallel-size", "4")
    assert any(r.candidate == "TP 1" and "more than the" in r.reason for r in result.rejected)


def test_requests_at_once_decide() -> None:
    few = fit("Kimi-Dev-72B", gpus("H100", 8), context=32768, concurrency=4)
    many = fit("Kimi-Dev-72B", gpus("H100", 8), context=32768, concurrency=16)
    assert few.chosen.tp < many.chosen.tp
    assert any("16 are wanted" in r.reason for r in many.rejected)
    assert many.kv is not None
    assert many.kv.concurrency.value.likely >= 16
    assert many.kv.concurrency.at == 32768


def test_more_requests_than_any_layout_holds() -> None:
    result = fit("Kimi-Dev-72B", gpus("H100", 4), context=32768, concurrency=1000)
    assert result.verdict == "does not fit"
    assert "1000 are wanted" in result.rejected[0].reason


def test_the_context_shrinks_to_what_fits_unless_it_is_asked_for() -> None:
    free = fit("Llama-3.1-8B-Instruct", gpus("RTX 4090"))
    assert free.verdict == "fits"
    assert 1024 < free.chosen.max_model_len < 131072
    assert "--max-model-len" in free.serve
    asked = fit("Llama-3.1-8B-Instruct", gpus("RTX 4090"), max_model_len=131072)
    assert asked.verdict == "does not fit"
    first = next(text for text in asked.advice if text.startswith("--max-model-len"))
    longest = int(first.split(":")[0].split()[1])
    again = fit("Llama-3.1-8B-Instruct", gpus("RTX 4090"), max_model_len=longest)
    assert again.verdict in ("fits", "tight")


def test_requests_at_once_shrink_to_the_states_unless_a_command_is_judged() -> None:
    free = fit("Qwen3.6-27B-FP8", gpus("H100"))
    assert free.verdict == "fits"
    assert "--max-num-seqs" in free.serve
    judged = fit("Qwen3.6-27B-FP8", gpus("H100"), utilisation=0.95, judged=True)
    assert judged.verdict == "refused"
    assert "Mamba cache blocks" in judged.rejected[0].reason


def test_advice_holds() -> None:
    """A change that is advised makes the run fit when it is made."""
    result = fit("Llama-3.1-8B-Instruct", gpus("RTX 4090"), max_model_len=65536)
    fields = {"--kv-cache-dtype": "kv_cache_dtype", "--quantization": "quantization"}
    tried = 0
    for text in result.advice:
        flag, _, value = text.partition(":")[0].partition(" ")
        if flag in fields:
            changed: dict[str, Any] = {fields[flag]: value.split()[0], "max_model_len": 65536}
            assert fit("Llama-3.1-8B-Instruct", gpus("RTX 4090"), **changed).verdict in text
            tried += 1
    assert tried == 2


def test_mixed_gpus_are_named() -> None:
    result = fit("phi-4", [*gpus("H100", 2), *gpus("L4")])
    assert result.host.gpus == ("H100", "H100")
    assert "mixed GPUs: sized for 2 x H100, without 1 x L4" in result.advice


def test_more_gpus_than_there_are() -> None:
    result = fit("phi-4", gpus("H100", 2), tensor_parallel=4, judged=True)
    assert result.verdict == "refused"
    assert result.rejected[0].reason == "TP 4 needs 4 GPUs, and there are 2"


@pytest.mark.parametrize(
    ("gpu", "total"),
    [
        ({"name": "H100"}, 79.19),
        ({"name": "NVIDIA H100 80GB HBM3", "memory_gb": 80}, 79.19),
        ({"name": "RTX 2080 Ti", "memory_gb": 22}, 21.5),
        ({"name": "A100-PCIE-40GB"}, 39.49),
        ({"name": "some card", "memory_gb": 23.99, "cc": "8.9"}, 23.99),
        ({"name": "some card", "memory_gb": 24, "cc": "8.9"}, 23.47),
    ],
)
def test_memory_is_what_cuda_reports(gpu: dict[str, Any], total: float) -> None:
    result = fit("phi-4", [gpu])
    assert result.per_gpu_gib.total.likely == pytest.approx(total, abs=0.02)


def test_every_figure_lies_in_its_interval() -> None:
    for name in runs.document()["models"]:
        result = fit(name, gpus("H100", 8))
        for field in msgspec.structs.fields(type(result.per_gpu_gib)):
            figure = getattr(result.per_gpu_gib, field.name)
            assert 0 <= figure.low <= figure.likely <= figure.high, (name, field.name)


def test_a_command_is_judged_as_it_stands() -> None:
    words = "vllm serve phi-4 -tp 2 --max-model-len 16k --port 80 --frob 3 --swap-space 9"
    name, request, _ = vllm_command.parse(words.split())
    assert (name, request.tensor_parallel, request.max_model_len) == ("phi-4", 2, 16000)
    assert request.kept == ("--port", "80", "--frob", "3", "--swap-space", "9")
    assert (request.unknown, request.unmodelled) == (("--frob",), ("--swap-space",))
    host = from_text.parse(yaml.safe_dump({"gpus": gpus("H100", 2)}), "host")
    kind, _ = device.of_host(host, runs.CATALOGUE)
    result = document.make(runs.model(name), kind, request, "0.32.0", runs.CATALOGUE)
    assert result.verdict == "tight"
    assert {*request.kept} <= {*result.serve}
    assert any("--frob" in text for text in result.advice)


def test_the_document_keeps_to_its_form() -> None:
    result = fit("Llama-3.1-8B-Instruct", gpus("H100"))
    assert msgspec.json.decode(msgspec.json.encode(result), type=Fit) == result
    assert list(msgspec.to_builtins(result)) == [
        "schema",
        "model",
        "vllm",
        "verdict",
        "host",
        "chosen",
        "per_gpu_gib",
        "kv",
        "serve",
        "rejected",
        "advice",
        "basis",
        "proof",
    ]


def test_replicas_of_a_mixture_share_its_experts() -> None:
    one = fit("Qwen3-235B-A22B-FP8", gpus("H200", 8), tensor_parallel=4)
    two = fit("Qwen3-235B-A22B-FP8", gpus("H200", 8), tensor_parallel=4, data_parallel=2)
    apart = fit(
        "Qwen3-235B-A22B-FP8",
        gpus("H200", 8),
        tensor_parallel=4,
        data_parallel=2,
        expert_parallel=True,
    )
    assert two.per_gpu_gib.weights.likely < 0.6 * one.per_gpu_gib.weights.likely
    assert apart.per_gpu_gib.weights.likely == pytest.approx(
        two.per_gpu_gib.weights.likely, rel=0.01
    )
    assert {"--data-parallel-size", "2"} <= {*two.serve}


def test_an_encoder_keeps_no_cache_and_a_ranking_decoder_does() -> None:
    config = {**runs.document()["models"]["Qwen2.5-0.5B-Instruct"]}
    config["architectures"] = ["Qwen2ForSequenceClassification"]
    ranker = describe.describe(config, "m", "m")
    encoder = describe.describe(MODELS["bge-m3"]["config"], "m", "m")
    host = from_text.parse(yaml.safe_dump({"gpus": gpus("T4")}), "host")
    kind, _ = device.of_host(host, runs.CATALOGUE)
    made = [
        document.make(model, kind, Request(), "0.32.0", runs.CATALOGUE)
        for model in (ranker, encoder)
    ]
    assert [result.verdict for result in made] == ["fits", "fits"]
    assert made[0].kv is not None
    assert made[1].kv is None


def test_the_gpus_of_another_maker_have_all_their_memory() -> None:
    result = fit("Qwen3.8-27B", gpus("Radeon RX 7900 XT", 2, memory_gb=20), tensor_parallel=2)
    assert result.per_gpu_gib.total.likely == 20
    assert result.verdict == "does not fit"


def test_adapters_take_room_beside_the_weights() -> None:
    plain = fit("Llama-3.1-8B-Instruct", gpus("H100"))
    some = fit("Llama-3.1-8B-Instruct", gpus("H100"), loras=4, lora_rank=64)
    more = some.per_gpu_gib.weights.likely - plain.per_gpu_gib.weights.likely
    # Of rank 64 an adapter for all seven linear layers has 167.8 million parameters.
    assert more == pytest.approx(4 * 167.8e6 * 2 / 2**30, rel=0.01)
    assert {"--enable-lora", "--max-loras", "--max-lora-rank"} <= {*some.serve}
