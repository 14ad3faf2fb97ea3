"""Which attn_implementation transformers is to be given here: each tried on a small model, and its kernels named."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from . import _devices, _flash_attn, _numbers, _tiny_model
from ._contract import Check, Context, Figure, Needs, Verdict, is_there

_FLASH = "flash_attention_2"
_BEST_FIRST = (_FLASH, "sdpa", "eager")
_LENGTH, _PADDED = 64, 19
_SPREAD = 0.05  # of the weights: enough that attention decides the outcome
_OF_ATTENTION = ("attention", "attn", "flash", "fmha", "sdpa", "softmax")
_SHOWN, _NAME = 6, 100


def body(context: Context) -> Verdict:
    """vLLM does without it: a transformers that has changed too much to be asked is a warning, and undoes nothing."""
    _tiny_model.settle(context.scratch)
    try:
        with _devices.room():
            found = _asked_of_all(importlib.import_module("torch"), importlib.import_module("transformers"), context)
    except MemoryError:
        raise
    except Exception as problem:  # noqa: BLE001 - whatever transformers raises
        return Verdict(passed=False, summary=f"transformers cannot be tried: {type(problem).__name__}: {problem}")
    best = found.evidence.get("set")
    return replace(found, figures=(Figure("attn_implementation", best),) if best else ())


def _asked_of_all(torch: Any, transformers: Any, context: Context) -> Verdict:
    config = transformers.AutoConfig.from_pretrained(_tiny_model.make(context.scratch))
    config.initializer_range = _SPREAD
    tried: dict[str, list[dict[str, Any]]] = {name: [] for name in _BEST_FIRST}
    for device, name in _each(torch, context):
        for implementation, found in _on(device, torch, transformers, config):
            tried[implementation].append({"device": name, **found})
    return _verdict(tried, str(transformers.__version__))


def _on(device: str, torch: Any, transformers: Any, config: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    asked = _asked(torch, device)
    precision = torch.float32 if device == "cpu" else torch.float16  # which flash-attn can do
    book = _model(torch, transformers, config, "eager").to(device, precision)
    same = _answer(torch, book, asked)
    by_the_book = same, _answer(torch, book.double(), asked)
    for implementation in _BEST_FIRST:
        if implementation == _FLASH and (why_not := _why_no_flash(torch, device)):
            yield implementation, {"absent": why_not}
            continue
        try:
            model = _model(torch, transformers, config, implementation).to(device, precision)
            yield implementation, _tried(torch, model, asked, implementation, by_the_book)
        except Exception as problem:  # what transformers or a kernel says is the finding
            if _devices.full(problem):
                raise
            yield implementation, {"problem": f"{type(problem).__name__}: {problem}"}


def _verdict(tried: dict[str, list[dict[str, Any]]], version: str) -> Verdict:
    evidence: dict[str, Any] = {"transformers": version, "tried": tried}
    if not any(tried.values()):
        return Verdict(passed=False, summary="torch sees no GPU", evidence=evidence)
    problems = {
        name: next((f"{each['device']}: {each['problem']}" for each in found if "problem" in each), "")
        for name, found in tried.items()
    }
    absent = {name: next((each["absent"] for each in found if "absent" in each), "") for name, found in tried.items()}
    wrong = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    best = next((name for name in _BEST_FIRST if not problems[name] and not absent[name]), "")
    evidence["set"] = best
    if wrong:
        use = f"; set attn_implementation='{best}'" if best else ""
        return Verdict(passed=False, summary=f"{'; '.join(wrong)}{use}", evidence=evidence)
    kernels = sorted({kernel for each in tried[best] for kernel in each["kernels"]})
    ran = f" ran {kernels[0]}" if kernels else " ran, and the profiler saw no kernel of attention"
    without = f"; {_FLASH}: not here, because {absent[_FLASH]}" if absent[_FLASH] else ""
    *most, last = (name for name in _BEST_FIRST if not absent[name])
    summary = f"set attn_implementation='{best}': it{ran}, and {', '.join(most)} and {last} agree{without}"
    return Verdict(passed=True, summary=summary, evidence=evidence)


def _each(torch: Any, context: Context) -> Iterator[tuple[str, str]]:
    """The CPU, or one GPU of each kind."""
    if context.profile == "cpu":
        yield "cpu", "CPU"
        return
    kinds = {torch.cuda.get_device_capability(number): number for number in reversed(range(torch.cuda.device_count()))}
    for number in sorted(kinds.values()):
        yield f"cuda:{number}", f"GPU {number} ({torch.cuda.get_device_name(number)})"


def _why_no_flash(torch: Any, device: str) -> str:
    if device == "cpu":
        return "it needs a GPU"
    if not is_there(_flash_attn.MODULE):
        return "the package flash-attn is not in this environment"
    capability = torch.cuda.get_device_capability(device)
    return (
        "" if capability >= (8, 0) else f"it needs compute capability 8.0, and {capability[0]}.{capability[1]} is here"
    )


def _model(torch: Any, transformers: Any, config: Any, implementation: str) -> Any:
    """The same weights each time."""
    torch.manual_seed(_tiny_model.SEED)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()
    taken = model.config._attn_implementation  # noqa: SLF001 - transformers has no other place for it
    if taken != implementation:
        raise ValueError(f"transformers took {taken} instead")
    return model


def _asked(torch: Any, device: str) -> dict[str, Any]:
    """Two lines of words, the second one padded."""
    torch.manual_seed(_tiny_model.SEED)
    words = torch.randint(3, _tiny_model.WORDS, (2, _LENGTH), device=device)
    mask = torch.ones_like(words)
    mask[1, -_PADDED:] = 0
    return {"input_ids": words, "attention_mask": mask}


def _answer(torch: Any, model: Any, asked: dict[str, Any]) -> Any:
    """The logits of every word that is not padding."""
    with torch.no_grad():
        return model(**asked).logits[asked["attention_mask"].bool()]


def _tried(
    torch: Any, model: Any, asked: dict[str, Any], implementation: str, by_the_book: tuple[Any, Any]
) -> dict[str, Any]:
    """One implementation on one device: how far off it is, and the kernels that ran."""
    _answer(torch, model, asked)  # what is chosen or compiled on first use is not what will run
    activity = torch.profiler.ProfilerActivity
    on_gpu = asked["input_ids"].is_cuda
    with torch.profiler.profile(activities=[activity.CPU, *([activity.CUDA] if on_gpu else [])]) as profile:
        found = _answer(torch, model, asked)
        if on_gpu:
            torch.cuda.synchronize(found.device)
    problem, share = _numbers.wrong(torch, found, *by_the_book)
    kernels = _kernels(torch, profile.events())
    tried: dict[str, Any] = {"kernels": kernels[:_SHOWN]} | (
        {"problem": problem} if problem else {"of_allowed": round(share, 3)}
    )
    if implementation == _FLASH and not any("flash" in kernel.lower() for kernel in kernels):
        tried["problem"] = f"it was set, and what ran was {', '.join(kernels) or 'no attention'}"
    return tried


def _kernels(torch: Any, events: Any) -> list[str]:
    """Of attention, on the GPU where the profiler may look there; of operators the innermost ones."""
    on_gpu = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    inner = [event for event in on_gpu or events if not any(_telling(child.name) for child in event.cpu_children)]
    return sorted({event.name[:_NAME] for event in inner if _telling(event.name)})


def _telling(name: str) -> bool:
    return any(word in name.lower() for word in _OF_ATTENTION)


CHECK = Check(
    name="attn_implementation",
    title="attn_implementation for transformers",
    proves="transformers computes the same with each attn_implementation that can run here, and one is named",
    step=60,
    weight="should",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "transformers"), gpus=1),
    body=body,
)
