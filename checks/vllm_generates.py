"""Whether vLLM generates tokens: as many as asked, and the same ones twice."""

from __future__ import annotations

import importlib
import time
from typing import Any

from . import _tiny_model
from ._contract import Check, Context, Needs, Verdict

_TOKENS = 16


def body(context: Context) -> Verdict:
    _tiny_model.settle(context.scratch)
    model = _tiny_model.make(context.scratch)
    began = time.monotonic()
    vllm: Any = importlib.import_module("vllm")
    engine = vllm.LLM(
        model=model,
        load_format="dummy",
        skip_tokenizer_init=True,
        enforce_eager=True,
        enable_prefix_caching=False,  # the second run would take another way to the same tokens
        seed=_tiny_model.SEED,
        max_model_len=_tiny_model.CONTEXT,
        max_num_seqs=4,
        gpu_memory_utilization=0.2,
    )
    ready = time.monotonic()
    greedy = vllm.SamplingParams(temperature=0.0, max_tokens=_TOKENS, ignore_eos=True, detokenize=False)
    first, second = (_generate(engine, greedy) for _ in range(2))
    evidence = {
        "tokens": first,
        "backend": _backends(engine),
        "start_s": round(ready - began, 3),
        "generate_s": round(time.monotonic() - ready, 3),
    }
    if any(len(tokens) != _TOKENS for tokens in first):
        counts = " and ".join(str(len(tokens)) for tokens in first)
        return Verdict(passed=False, summary=f"{counts} tokens came, {_TOKENS} were asked for", evidence=evidence)
    if any(not 0 <= token < _tiny_model.WORDS for tokens in first for token in tokens):
        return Verdict(passed=False, summary="a token came that the model does not have", evidence=evidence)
    if first != second:
        evidence["second"] = second
        return Verdict(passed=False, summary="the same greedy prompts gave other tokens", evidence=evidence)
    return Verdict(passed=True, summary=f"{len(first)} x {_TOKENS} greedy tokens, the same twice", evidence=evidence)


def _generate(engine: Any, greedy: Any) -> list[list[int]]:
    prompts = [{"prompt_token_ids": list(prompt)} for prompt in _tiny_model.PROMPTS]
    return [list(answer.outputs[0].token_ids) for answer in engine.generate(prompts, greedy, use_tqdm=False)]


def _backends(engine: Any) -> list[str]:
    """The attention backends of the layers, where this vLLM lets one ask."""
    try:
        layers = engine.llm_engine.vllm_config.compilation_config.static_forward_context.values()
        return sorted({layer.get_attn_backend().get_name() for layer in layers})
    except AttributeError:
        return []


CHECK = Check(
    name="vllm_generates",
    title="vLLM generates",
    proves="vLLM loads a model here and generates as many tokens as asked, the same ones twice",
    step=50,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=600,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
)
