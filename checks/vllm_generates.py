"""Whether vLLM generates the right tokens: those that plain torch computes from the same weights, twice."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from . import _devices, _planned_backend, _timing, _tiny_model
from ._contract import Check, Context, Figure, Needs, Verdict
from ._plain_llama import PlainLlama

_TOKENS = _tiny_model.TOKENS
# Of the error that the book makes in the same precision: vLLM rounds at other places.
_TIMES = 4.0
_BUDGET_S = 2.0


@dataclass(frozen=True)
class Answer:
    """Tokens, and by how much each led the second choice, in the logarithm of its likelihood."""

    tokens: tuple[int, ...]
    leads: tuple[float, ...]


@dataclass(frozen=True)
class Reference:
    """`margin`: the smallest lead, in standard deviations of the logits; `allowed`: how far a lead may be off."""

    answers: list[Answer]
    margin: float
    allowed: float


def body(context: Context) -> Verdict:
    _tiny_model.settle(context.scratch)
    began = time.monotonic()
    vllm: Any = importlib.import_module("vllm")
    imported = time.monotonic()
    # What vLLM compiles for log-probabilities needs a compiler, which is another check's claim. What it has decorated
    # when it was imported asks for the stance when it is called; torch before 2.6 has none.
    compiler: Any = getattr(importlib.import_module("torch"), "compiler", None)
    if hasattr(compiler, "set_stance"):
        compiler.set_stance("force_eager")
    with _devices.room():
        engine = vllm.LLM(
            model=_tiny_model.make(context.scratch),
            skip_tokenizer_init=True,
            enable_prefix_caching=True,  # the second run takes another way to the same tokens
            **_tiny_model.settings(context),
        )
    ready = time.monotonic()
    runs = [generated(vllm, engine) for _ in range(2)]
    done = time.monotonic()
    torch: Any = importlib.import_module("torch")
    precision = engine.llm_engine.model_config.dtype
    reference = by_the_book(torch, precision)
    verdict = _verdict(
        runs,
        reference,
        {
            "import_s": round(imported - began, 3),
            "start_s": round(ready - imported, 3),
            "generate_s": round(done - ready, 3),
            "precision": str(precision).removeprefix("torch."),
            "backend": _backends(engine),
        },
    )
    if not verdict.passed:
        return verdict
    figures = (*verdict.figures, _speed(torch, partial(generated, vllm, engine)))
    told = verdict.summary + _planned_backend.deviation(context, verdict.evidence["backend"])
    return replace(verdict, summary=told, figures=figures)


def _speed(torch: Any, generate: Callable[[], object]) -> Figure:
    """Of all prompts at once, which are in the prefix cache by now."""
    time = _timing.timed(torch, "cpu", generate, warm_up=0, budget_s=_BUDGET_S)
    tokens = len(_tiny_model.PROMPTS) * _TOKENS
    rates = [tokens / took * 1e6 for took in time.took_us]
    method = (
        f"{len(_tiny_model.PROMPTS)} prompts to a 2 MB model, {_TOKENS} tokens each, with log-probabilities, eagerly"
    )
    return _timing.figure("generation", rates, "tokens/s", method=f"{method}; {time.method}")


def generated(vllm: Any, engine: Any) -> list[Answer]:
    """All prompts at once, greedily."""
    greedy = vllm.SamplingParams(temperature=0.0, max_tokens=_TOKENS, ignore_eos=True, logprobs=2, detokenize=False)
    prompts = [{"prompt_token_ids": list(prompt)} for prompt in _tiny_model.PROMPTS]
    outputs = [answer.outputs[0] for answer in engine.generate(prompts, greedy, use_tqdm=False)]
    return [Answer(tuple(each.token_ids), tuple(map(_lead, each.logprobs))) for each in outputs]


def _lead(choices: dict[int, Any]) -> float:
    first, second, *_ = sorted((float(choice.logprob) for choice in choices.values()), reverse=True)
    return first - second


def by_the_book(torch: Any, precision: Any, model: Callable[..., Any] = PlainLlama) -> Reference:
    with torch.no_grad():
        exact, margin, largest = _answers(torch, model(torch))
        same, _, _ = _answers(torch, model(torch, precision))
    rounding = 8 * float(torch.finfo(precision).eps) * largest
    return Reference(exact, margin, _TIMES * furthest(same, exact) + rounding)


def _answers(torch: Any, model: Any) -> tuple[list[Answer], float, float]:
    """What a model says after each word of the recorded answers, its smallest margin and its largest logit."""
    found, margin, largest = [], float("inf"), 0.0
    for prompt, answer in zip(_tiny_model.PROMPTS, _tiny_model.ANSWERS, strict=True):
        logits = model.logits(torch.tensor([prompt + answer[:-1]]))[0, len(prompt) - 1 :].double()
        best = logits.topk(2)
        leads = best.values[:, 0] - best.values[:, 1]
        found.append(Answer(tuple(best.indices[:, 0].tolist()), tuple(leads.tolist())))
        margin = min(margin, float((leads / logits.std(-1)).min()))
        largest = max(largest, float(logits.abs().max()))
    return found, margin, largest


def furthest(found: Sequence[Answer], exact: Sequence[Answer]) -> float:
    """The largest difference of a lead; no number where one of them is none."""
    pairs = zip(found, exact, strict=True)
    differences = [abs(a - b) for one, other in pairs for a, b in zip(one.leads, other.leads, strict=True)]
    return max(differences) if all(each == each for each in differences) else float("nan")  # noqa: PLR0124 - a NaN is not


def problem(runs: Sequence[Sequence[Answer]], reference: Reference) -> str:
    """What is wrong, if anything. The reference comes first: who is held to a wrong one proves nothing."""
    if tuple(answer.tokens for answer in reference.answers) != _tiny_model.ANSWERS:
        return "plain torch computes other tokens from these weights than any host should: torch itself is wrong here"
    if not reference.margin >= _tiny_model.MARGIN:
        return f"a token of the reference leads by only {reference.margin:.3g}, so a rounding could decide"
    first, second = ([answer.tokens for answer in run] for run in runs)
    if any(len(tokens) != _TOKENS for tokens in first):
        return f"{' and '.join(str(len(tokens)) for tokens in first)} tokens came, {_TOKENS} each were asked for"
    if any(not 0 <= token < _tiny_model.WORDS for tokens in first for token in tokens):
        return "a token came that the model does not have"
    if first != second:
        return "the same greedy prompts gave other tokens the second time"
    for prompt, tokens, right in zip(_tiny_model.PROMPTS, first, _tiny_model.ANSWERS, strict=True):
        for at, (token, expected) in enumerate(zip(tokens, right, strict=True)):
            if token != expected:
                return f"after {len(prompt)} words, token {at + 1} is {token}, and plain torch says {expected}"
    for run in runs:
        if not (off := furthest(run, reference.answers)) <= reference.allowed:
            return f"the tokens are right, but their leads are off by {off:.3g}, and {reference.allowed:.3g} is allowed"
    return ""


def _verdict(runs: Sequence[Sequence[Answer]], reference: Reference, evidence: dict[str, Any]) -> Verdict:
    evidence |= {
        "tokens": [list(answer.tokens) for answer in runs[0]],
        "smallest_margin": round(reference.margin, 4),
        "margin_method": "lead of the first choice over the second in 64 bits, in standard deviations of the logits",
    }
    figures = _words(runs[0], evidence)
    if wrong := problem(runs, reference):
        return Verdict(passed=False, summary=wrong, evidence=evidence, hint=_HINT, figures=figures)
    evidence |= {"lead_off": furthest(runs[0], reference.answers), "lead_allowed": reference.allowed}
    summary = f"{len(runs[0])} x {_TOKENS} greedy tokens, twice those of plain torch; started in"
    summary = f"{summary} {evidence['start_s']:.1f} s"
    return Verdict(passed=True, summary=summary, evidence=evidence, figures=figures)


def _words(answers: Sequence[Answer], evidence: dict[str, Any]) -> tuple[Figure, ...]:
    """What is to be the same the next time."""
    tokens = "; ".join(" ".join(map(str, answer.tokens)) for answer in answers)
    backend = " and ".join(evidence["backend"]) or "not told"
    words = {"tokens": tokens, "attention backend": backend, "precision": evidence["precision"]}
    return tuple(Figure(name, word) for name, word in words.items())


_HINT = "record_whole says whether a file was changed; another attention backend: serve with --attention-backend"


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
    proves="vLLM loads a model and generates the tokens that plain torch computes, for several prompts at once, twice",
    step=50,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=600,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
)
