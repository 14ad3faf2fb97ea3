"""Names the attn_implementation to set for transformers, after trying each on a small model."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from . import _devices, _flash_attn, _numbers, _tiny_model
from ._contract import Check, Context, Figure, Needs, Verdict, is_importable

_FLASH = "flash_attention_2"
_BEST_FIRST = (_FLASH, "sdpa", "eager")
_LENGTH, _PADDED = 64, 19
_WEIGHT_RANGE = 0.05  # larger than the default, so that attention decides the outcome
_ATTENTION_WORDS = ("attention", "attn", "flash", "fmha", "sdpa", "softmax")
_SHOWN, _NAME_LENGTH = 6, 100

# By implementation: the finding on each device.
Findings = dict[str, list[dict[str, Any]]]


def body(context: Context) -> Verdict:
    _tiny_model.apply_environment(context.scratch)
    try:
        with _devices.errors_if_full():
            torch: Any = importlib.import_module("torch")
            transformers: Any = importlib.import_module("transformers")
            verdict = _try_all(torch, transformers, context)
    except MemoryError:
        raise
    # vLLM runs without this part of transformers: one that has changed too much for this check is
    # a warning, and no reason to rebuild an environment.
    except Exception as error:  # noqa: BLE001
        return Verdict(
            passed=False, summary=f"transformers cannot be tried: {type(error).__name__}: {error}"
        )
    best = verdict.evidence.get("set")
    return replace(verdict, figures=(Figure("attn_implementation", best),) if best else ())


def _try_all(torch: Any, transformers: Any, context: Context) -> Verdict:
    config = transformers.AutoConfig.from_pretrained(_tiny_model.make(context.scratch))
    config.initializer_range = _WEIGHT_RANGE
    findings: Findings = {name: [] for name in _BEST_FIRST}
    for device, name in _devices_to_try(torch, context):
        for implementation, finding in _try_device(device, torch, transformers, config):
            findings[implementation].append({"device": name, **finding})
    return judge(findings, str(transformers.__version__))


def _try_device(
    device: str, torch: Any, transformers: Any, config: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    inputs = _inputs(torch, device)
    # flash-attn computes in half precision only.
    precision = torch.float32 if device == "cpu" else torch.float16
    model = _model(torch, transformers, config, "eager").to(device, precision)
    references = _logits(torch, model, inputs), _logits(torch, model.double(), inputs)
    for implementation in _BEST_FIRST:
        if implementation == _FLASH and (reason := _why_no_flash(torch, device)):
            yield implementation, {"absent": reason}
            continue
        try:
            model = _model(torch, transformers, config, implementation).to(device, precision)
            yield implementation, _compare(torch, model, inputs, implementation, references)
        except Exception as error:  # the words of transformers or of a kernel are the finding
            if _devices.means_full(error):
                raise
            yield implementation, {"problem": f"{type(error).__name__}: {error}"}


def judge(findings: Findings, version: str) -> Verdict:
    evidence: dict[str, Any] = {"transformers": version, "tried": findings}
    if not any(findings.values()):
        return Verdict(passed=False, summary="torch sees no GPU", evidence=evidence)
    problems = {
        name: next((f"{row['device']}: {row['problem']}" for row in rows if "problem" in row), "")
        for name, rows in findings.items()
    }
    absent = {
        name: next((row["absent"] for row in rows if "absent" in row), "")
        for name, rows in findings.items()
    }
    wrong = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    usable = [name for name in _BEST_FIRST if not problems[name] and not absent[name]]
    best = usable[0] if usable else ""
    evidence["set"] = best
    if wrong:
        advice = f"; set attn_implementation='{best}'" if best else ""
        return Verdict(passed=False, summary=f"{'; '.join(wrong)}{advice}", evidence=evidence)
    kernels = sorted({kernel for row in findings[best] for kernel in row["kernels"]})
    ran = f" ran {kernels[0]}" if kernels else " ran, and the profiler saw no attention kernel"
    without = f"; {_FLASH} cannot run here: {absent[_FLASH]}" if absent[_FLASH] else ""
    *most, last = usable
    return Verdict(
        passed=True,
        summary=f"set attn_implementation='{best}': it{ran}, "
        f"and {', '.join(most)} and {last} agree{without}",
        evidence=evidence,
    )


def _devices_to_try(torch: Any, context: Context) -> Iterator[tuple[str, str]]:
    """Yield the CPU, or the first GPU of each compute capability."""
    if context.profile == "cpu":
        yield "cpu", "CPU"
        return
    cuda = torch.cuda
    kinds = {
        cuda.get_device_capability(number): number
        for number in reversed(range(cuda.device_count()))
    }
    for number in sorted(kinds.values()):
        yield f"cuda:{number}", f"GPU {number} ({cuda.get_device_name(number)})"


def _why_no_flash(torch: Any, device: str) -> str:
    if device == "cpu":
        return "it needs a GPU"
    if not is_importable(_flash_attn.MODULE):
        return "the package flash-attn is not in this environment"
    major, minor = torch.cuda.get_device_capability(device)
    old = f"it needs compute capability 8.0, and {major}.{minor} is here"
    return old if (major, minor) < (8, 0) else ""


def _model(torch: Any, transformers: Any, config: Any, implementation: str) -> Any:
    """Return a model with the same weights for each implementation."""
    torch.manual_seed(_tiny_model.SEED)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation=implementation
    ).eval()
    taken = model.config._attn_implementation  # noqa: SLF001 - transformers has no other place for it
    if taken != implementation:
        raise ValueError(f"transformers took {taken} instead")
    return model


def _inputs(torch: Any, device: str) -> dict[str, Any]:
    """Return two rows of tokens, the second one padded."""
    torch.manual_seed(_tiny_model.SEED)
    tokens = torch.randint(3, _tiny_model.WORDS, (2, _LENGTH), device=device)
    mask = torch.ones_like(tokens)
    mask[1, -_PADDED:] = 0
    return {"input_ids": tokens, "attention_mask": mask}


def _logits(torch: Any, model: Any, inputs: dict[str, Any]) -> Any:
    """Return the logits of every token that is not padding."""
    with torch.no_grad():
        return model(**inputs).logits[inputs["attention_mask"].bool()]


def _compare(
    torch: Any,
    model: Any,
    inputs: dict[str, Any],
    implementation: str,
    references: tuple[Any, Any],
) -> dict[str, Any]:
    """Return the error of one implementation on one device, and the kernels that ran."""
    _logits(
        torch, model, inputs
    )  # on first use kernels are chosen and compiled; do not profile that
    activity = torch.profiler.ProfilerActivity
    on_gpu = inputs["input_ids"].is_cuda
    with torch.profiler.profile(
        activities=[activity.CPU, *([activity.CUDA] if on_gpu else [])]
    ) as profile:
        answer = _logits(torch, model, inputs)
        if on_gpu:
            torch.cuda.synchronize(answer.device)
    problem, share = _numbers.compare(torch, answer, *references)
    kernels = _kernels(torch, profile.events())
    finding: dict[str, Any] = {"kernels": kernels[:_SHOWN]}
    finding |= {"problem": problem} if problem else {"of_allowed": round(share, 3)}
    if implementation == _FLASH and not any("flash" in kernel.lower() for kernel in kernels):
        ran = ", ".join(kernels) or "no attention"
        finding["problem"] = f"it was set, and what ran was {ran}"
    return finding


def _kernels(torch: Any, events: Any) -> list[str]:
    """Return the attention kernels on the GPU, or the innermost operators if there are none."""
    gpu = torch.autograd.DeviceType.CUDA
    on_gpu = [event for event in events if event.device_type == gpu]
    inner = [
        event
        for event in on_gpu or events
        if not any(_is_attention(child.name) for child in event.cpu_children)
    ]
    return sorted({event.name[:_NAME_LENGTH] for event in inner if _is_attention(event.name)})


def _is_attention(name: str) -> bool:
    return any(word in name.lower() for word in _ATTENTION_WORDS)


CHECK = Check(
    title="attn_implementation for transformers",
    proves="transformers gives the same answers with each attn_implementation that can run here",
    step=60,
    weight="should",
    needs=Needs(packages=("torch", "transformers"), gpus=1),
    body=body,
)
