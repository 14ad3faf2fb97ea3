"""Checks that vLLM takes the planned attention backend on each GPU."""

from __future__ import annotations

import importlib
import inspect
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from . import _devices, _planned_backend, _tiny_model
from ._contract import Check, Context, Figure, Needs, Verdict, gpus_of_one_process, whole_gpus

# Answers for one GPU, in a process of its own, from vLLM's arguments for an engine.
Ask = Callable[[dict[str, object]], dict[str, Any]]
_SELECTORS = ("vllm.v1.attention.selector", "vllm.attention.selector")
_WAIT_S = 120.0
_HINT = (
    "vllm serve --attention-backend NAME says why a backend is not taken; "
    "the plan's reasons: ./setup.sh plan"
)


def body(context: Context) -> Verdict:
    _tiny_model.apply_environment(context.scratch)
    planned = _planned_backend.planned_backends(context)
    model = _tiny_model.make(context.scratch)
    answers = ask_each(context, {"model": model, **_tiny_model.settings(context)}, ask_vllm)
    return replace(
        judge(planned, answers),
        figures=figures(context, answers),
        gpus=gpus_of_one_process(context.gpus),
    )


def ask_vllm(arguments: dict[str, object]) -> dict[str, Any]:
    """Call the function by which vLLM's engine chooses; no engine starts and no memory is taken."""
    engine_args = importlib.import_module("vllm.engine.arg_utils").EngineArgs(**arguments)
    config = engine_args.create_engine_config()
    choose = _selector()
    known = {
        "head_size": config.model_config.get_head_size(),
        "dtype": config.model_config.dtype,
        "kv_cache_dtype": config.cache_config.cache_dtype,
        "block_size": config.cache_config.block_size,
        "use_mla": False,
        "is_attention_free": False,
        "use_v1": True,
    }
    # The parameters differ from release to release.
    parameters = inspect.signature(choose).parameters
    with importlib.import_module("vllm.config").set_current_vllm_config(config):
        name = choose(**{key: known[key] for key in parameters if key in known}).get_name()
    platform = importlib.import_module("vllm.platforms").current_platform
    return {
        "backend": str(name).removesuffix(_planned_backend.OLD_SUFFIX),
        "device": str(platform.get_device_name()),
        "precision": str(config.model_config.dtype).removeprefix("torch."),
    }


def _selector() -> Any:
    for name in _SELECTORS:
        try:
            return importlib.import_module(name).get_attn_backend
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"this vLLM has no get_attn_backend in {' or '.join(_SELECTORS)}")


def ask_each(context: Context, arguments: dict[str, object], ask: Ask) -> dict[str, dict[str, Any]]:
    """Return the answer for each GPU, or for "": the CPU, or the first slice of a GPU."""
    # Each GPU is asked at once, by a process that sees it alone.
    gpus = whole_gpus(context.gpus) or ("",)
    calls = [partial(_ask_in_child, gpu, arguments, ask) for gpu in gpus]
    return {
        gpu: answer or {"problem": f"no answer, status {status}"}
        for gpu, (answer, status) in zip(
            gpus, _devices.run_in_forks(Path(context.scratch), calls, _WAIT_S), strict=True
        )
    }


def _ask_in_child(gpu: str, arguments: dict[str, object], ask: Ask) -> dict[str, Any]:
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        return ask(arguments)
    except Exception as error:  # noqa: BLE001 - any exception of vLLM is the finding
        traceback.print_exc()
        first, *_ = str(error).strip().splitlines() or [""]
        return {"problem": f"{type(error).__name__}: {first}"}


def figures(context: Context, answers: dict[str, dict[str, Any]]) -> tuple[Figure, ...]:
    """Return each backend with torch's number of its GPU, as in the figures of other checks."""
    places = ["CPU" if context.profile == "cpu" else f"GPU {at}" for at in range(len(answers))]
    return tuple(
        Figure("backend", answer["backend"], of={"on": place})
        for place, answer in zip(places, answers.values(), strict=True)
        if "backend" in answer
    )


def judge(planned: dict[str, str], answers: dict[str, dict[str, Any]]) -> Verdict:
    """Compare with the plan. Without a plan, as for a CPU, the backend is only reported."""
    # A UUID names one card in the world; a report says "GPU 0" instead.
    names = {
        gpu: f"GPU {gpu if gpu.isdigit() else at}" if gpu else "" for at, gpu in enumerate(answers)
    }
    evidence = {
        "found": {names[gpu] or "here": answer for gpu, answer in answers.items()},
        "planned": planned,
    }
    problems = []
    for gpu, answer in answers.items():
        name, expected = f"{names[gpu]}: " if gpu else "", planned.get(gpu)
        if "problem" in answer:
            problems.append(f"{name}vLLM names no attention backend: {answer['problem']}")
        elif expected and answer["backend"] != expected:
            problems.append(f"{name}vLLM takes {answer['backend']}, and {expected} was planned")
    if problems:
        return Verdict(passed=False, summary="; ".join(problems), evidence=evidence, hint=_HINT)
    taken = " and ".join(sorted({answer["backend"] for answer in answers.values()}))
    basis = "as planned" if planned.keys() & answers.keys() else "the plan names none"
    return Verdict(passed=True, summary=f"vLLM takes {taken}, {basis}", evidence=evidence)


CHECK = Check(
    title="Attention backend",
    proves="on every GPU vLLM takes the attention backend that was planned",
    step=50,
    weight="should",
    deadline_s=180,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
    every_gpu=True,
)
