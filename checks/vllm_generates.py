"""Checks that vLLM generates, twice, the tokens that plain torch computes from the same weights."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from . import _devices, _planned_backend, _timing, _tiny_model
from ._contract import Check, Context, Figure, Needs, Verdict
from ._plain_llama import PlainLlama

_TOKENS = _tiny_model.TOKENS
# Multiple of the reference's own error in the same precision: vLLM rounds at other places. Fused
# attention and products that are summed in two parts err 0.8 to 1.2 times as much.
_TOLERANCE = 2.0
_BUDGET_S = 2.0
_HINT = (
    "record_whole says whether a file was changed; "
    "another attention backend: serve with --attention-backend"
)


@dataclass(frozen=True)
class GeneratedAnswer:
    """Tokens, and the lead of each over the second choice, in log-probability."""

    tokens: tuple[int, ...]
    leads: tuple[float, ...]


@dataclass(frozen=True)
class Reference:
    """The answers in 64 bits, with `margin` and `allowed` error of a lead.

    `margin` is the smallest lead, in standard deviations of the logits.
    """

    answers: list[GeneratedAnswer]
    margin: float
    allowed: float


def body(context: Context) -> Verdict:
    _tiny_model.apply_environment(context.scratch)
    began = time.monotonic()
    vllm: Any = importlib.import_module("vllm")
    imported = time.monotonic()
    engine = _start_engine(vllm, context)
    ready = time.monotonic()
    runs = [generate(vllm, engine) for _ in range(2)]
    done = time.monotonic()
    torch: Any = importlib.import_module("torch")
    precision = engine.llm_engine.model_config.dtype
    evidence = {
        "import_s": round(imported - began, 3),
        "start_s": round(ready - imported, 3),
        "generate_s": round(done - ready, 3),
        "precision": str(precision).removeprefix("torch."),
        "backend": _backends(engine),
    }
    verdict = judge(runs, make_reference(torch, precision), evidence)
    if not verdict.passed:
        return verdict
    figures = (*verdict.figures, _speed(torch, partial(generate, vllm, engine)))
    deviation = _planned_backend.describe_deviation(context, verdict.evidence["backend"])
    return replace(verdict, summary=verdict.summary + deviation, figures=figures)


def _start_engine(vllm: Any, context: Context) -> Any:
    # vLLM compiles the code for log-probabilities, which needs a compiler; torch_compiles is the
    # check for that. What vLLM decorated on import asks for the stance when it is called. torch
    # before 2.6 has none.
    compiler: Any = getattr(importlib.import_module("torch"), "compiler", None)
    if hasattr(compiler, "set_stance"):
        compiler.set_stance("force_eager")
    with _devices.errors_if_full():
        return vllm.LLM(
            model=_tiny_model.make(context.scratch),
            skip_tokenizer_init=True,
            enable_prefix_caching=True,  # the second run takes another way to the same tokens
            **_tiny_model.settings(context),
        )


def _speed(torch: Any, generate: Callable[[], object]) -> Figure:
    """Measure all prompts at once; by now they are in the prefix cache."""
    timing = _timing.measure(torch, "cpu", generate, warm_up=0, budget_s=_BUDGET_S)
    prompts = len(_tiny_model.PROMPTS)
    return _timing.figure(
        "generation",
        [prompts * _TOKENS / sample * 1e6 for sample in timing.samples_us],
        "tokens/s",
        method=f"{prompts} prompts to a 2 MB model, {_TOKENS} tokens each, with log-probabilities, "
        f"eagerly; {timing.method}",
    )


def generate(vllm: Any, engine: Any) -> list[GeneratedAnswer]:
    greedy = vllm.SamplingParams(
        temperature=0.0, max_tokens=_TOKENS, ignore_eos=True, logprobs=2, detokenize=False
    )
    prompts = [{"prompt_token_ids": list(prompt)} for prompt in _tiny_model.PROMPTS]
    outputs = [result.outputs[0] for result in engine.generate(prompts, greedy, use_tqdm=False)]
    return [
        GeneratedAnswer(tuple(output.token_ids), tuple(map(_lead, output.logprobs)))
        for output in outputs
    ]


def _lead(choices: dict[int, Any]) -> float:
    logprobs = sorted((float(choice.logprob) for choice in choices.values()), reverse=True)
    return logprobs[0] - logprobs[1]


def make_reference(torch: Any, precision: Any, model: Callable[..., Any] = PlainLlama) -> Reference:
    with torch.no_grad():
        exact, margin, largest = _answer(torch, model(torch))
        own, _, _ = _answer(torch, model(torch, precision))
    # Log-probabilities have 32 bits, and are rounded a few times as often.
    rounding = 8 * float(torch.finfo(torch.float32).eps) * largest
    return Reference(exact, margin, _TOLERANCE * largest_difference(own, exact) + rounding)


def _answer(torch: Any, model: Any) -> tuple[list[GeneratedAnswer], float, float]:
    """Return a model's choices after each token of the recorded answers.

    With them come its smallest margin and its largest logit.
    """
    answers, margin, largest = [], float("inf"), 0.0
    for prompt, answer in zip(_tiny_model.PROMPTS, _tiny_model.ANSWERS, strict=True):
        logits = model.logits(torch.tensor([prompt + answer[:-1]]))[0, len(prompt) - 1 :].double()
        best = logits.topk(2)
        leads = best.values[:, 0] - best.values[:, 1]
        answers.append(GeneratedAnswer(tuple(best.indices[:, 0].tolist()), tuple(leads.tolist())))
        margin = min(margin, float((leads / logits.std(-1)).min()))
        largest = max(largest, float(logits.abs().max()))
    return answers, margin, largest


def largest_difference(
    answers: Sequence[GeneratedAnswer], exact: Sequence[GeneratedAnswer]
) -> float:
    """Return the largest difference of a lead, or NaN if one of them is NaN."""
    differences = [
        abs(lead - exact_lead)
        for answer, exact_answer in zip(answers, exact, strict=True)
        for lead, exact_lead in zip(answer.leads, exact_answer.leads, strict=True)
    ]
    # max() would pass over a NaN.
    return float("nan") if any(map(math.isnan, differences)) else max(differences)


def find_problem(runs: Sequence[Sequence[GeneratedAnswer]], reference: Reference) -> str:
    """Return what is wrong, or ""."""
    # The reference is judged first: a comparison with a wrong one proves nothing.
    if tuple(answer.tokens for answer in reference.answers) != _tiny_model.ANSWERS:
        return (
            "plain torch computes other tokens from these weights than any host should: "
            "torch itself is wrong here"
        )
    if not reference.margin >= _tiny_model.MARGIN:
        return (
            f"a token of the reference leads by only {reference.margin:.3g}, "
            "so a rounding could decide"
        )
    first, second = ([answer.tokens for answer in run] for run in runs)
    if any(len(tokens) != _TOKENS for tokens in first):
        counts = " and ".join(str(len(tokens)) for tokens in first)
        return f"{counts} tokens were generated, {_TOKENS} each were requested"
    if any(not 0 <= token < _tiny_model.WORDS for tokens in first for token in tokens):
        return "a token was generated that the model does not have"
    if first != second:
        return "the same greedy prompts gave other tokens the second time"
    if problem := _wrong_token(first):
        return problem
    for run in runs:
        # "not <=", since a NaN is wrong, too.
        if not (error := largest_difference(run, reference.answers)) <= reference.allowed:
            return (
                f"the tokens are right, but their leads are off by {error:.3g}, "
                f"and {reference.allowed:.3g} is allowed"
            )
    return ""


def _wrong_token(answers: Sequence[tuple[int, ...]]) -> str:
    for prompt, tokens, right in zip(
        _tiny_model.PROMPTS, answers, _tiny_model.ANSWERS, strict=True
    ):
        for number, (token, expected) in enumerate(zip(tokens, right, strict=True), start=1):
            if token != expected:
                return (
                    f"after {len(prompt)} words, token {number} is {token}, "
                    f"and plain torch says {expected}"
                )
    return ""


def judge(
    runs: Sequence[Sequence[GeneratedAnswer]], reference: Reference, evidence: dict[str, Any]
) -> Verdict:
    evidence |= {
        "tokens": [list(answer.tokens) for answer in runs[0]],
        "smallest_margin": round(reference.margin, 4),
        "margin_method": "lead of the first choice over the second in 64 bits, "
        "in standard deviations of the logits",
    }
    figures = _words(runs[0], evidence)
    if problem := find_problem(runs, reference):
        return Verdict(
            passed=False, summary=problem, evidence=evidence, hint=_HINT, figures=figures
        )
    evidence |= {
        "lead_off": largest_difference(runs[0], reference.answers),
        "lead_allowed": reference.allowed,
    }
    return Verdict(
        passed=True,
        summary=f"{len(runs[0])} x {_TOKENS} greedy tokens, twice those of plain torch; "
        f"started in {evidence['start_s']:.1f} s",
        evidence=evidence,
        figures=figures,
    )


def _words(answers: Sequence[GeneratedAnswer], evidence: dict[str, Any]) -> tuple[Figure, ...]:
    """Return the figures that must be the same in the next run."""
    words = {
        "tokens": "; ".join(" ".join(map(str, answer.tokens)) for answer in answers),
        "attention backend": " and ".join(evidence["backend"]) or "not told",
        "precision": evidence["precision"],
    }
    return tuple(Figure(name, word) for name, word in words.items())


def _backends(engine: Any) -> list[str]:
    """Return the attention backends of the layers; [] if this vLLM does not tell."""
    try:
        layers = engine.llm_engine.vllm_config.compilation_config.static_forward_context.values()
        return sorted({layer.get_attn_backend().get_name() for layer in layers})
    except AttributeError:
        return []


CHECK = Check(
    title="vLLM generates",
    proves="vLLM loads a model and generates, twice and for several prompts at once, "
    "the tokens that plain torch computes",
    step=50,
    deadline_s=600,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
)
