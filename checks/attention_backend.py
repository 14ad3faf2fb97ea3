"""Which attention backend vLLM takes on each GPU, and whether it is the one that was planned."""

from __future__ import annotations

import importlib
import inspect
import json
import multiprocessing
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import _planned_backend, _tiny_model
from ._contract import Check, Context, Figure, Needs, Verdict, tried_by_one, whole

# What is asked of one GPU, in a process of its own: with vLLM's arguments for an engine, where to write.
Ask = Callable[[dict[str, object]], dict[str, Any]]
_SELECTORS = ("vllm.v1.attention.selector", "vllm.attention.selector")
_WAIT_S = 120.0


def body(context: Context) -> Verdict:
    _tiny_model.settle(context.scratch)
    planned = _planned_backend.of_each(context)
    asked = {"model": _tiny_model.make(context.scratch), **_tiny_model.settings(context)}
    found = on_each(context, asked, of_vllm)
    return replace(judged(planned, found), figures=figures(context, found), gpus=tried_by_one(context.gpus))


def of_vllm(asked: dict[str, object]) -> dict[str, Any]:
    """Its own choice, by the function that its engine calls; no engine is started and no memory taken."""
    config = importlib.import_module("vllm.engine.arg_utils").EngineArgs(**asked).create_engine_config()
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
    taken = {name: known[name] for name in inspect.signature(choose).parameters if name in known}
    with importlib.import_module("vllm.config").set_current_vllm_config(config):
        name = choose(**taken).get_name()
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


def on_each(context: Context, asked: dict[str, object], ask: Ask) -> dict[str, dict[str, Any]]:
    """All at once, each where it sees one GPU alone; "" is the CPU, or whatever a slice of a GPU is."""
    fork = multiprocessing.get_context("fork")
    children = {}
    for gpu in whole(context.gpus) or ("",):
        file = Path(context.scratch) / f"backend-{gpu}.json"
        child = fork.Process(target=_asked, args=(gpu, asked, ask, file))
        child.start()
        children[gpu] = child, file
    found = {}
    for gpu, (child, file) in children.items():
        child.join(_WAIT_S)
        if file.exists():
            found[gpu] = json.loads(file.read_text())
        else:
            found[gpu] = {"problem": f"no answer, status {child.exitcode}"}
    return found


def _asked(gpu: str, asked: dict[str, object], ask: Ask, file: Path) -> None:
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        found = ask(asked)
    except Exception as problem:  # noqa: BLE001 - whatever vLLM raises is the finding
        traceback.print_exc()
        found = {"problem": f"{type(problem).__name__}: {(str(problem).strip().splitlines() or [''])[0]}"}
    aside = file.with_suffix(".aside")
    aside.write_text(json.dumps(found))
    aside.replace(file)


def figures(context: Context, found: dict[str, dict[str, Any]]) -> tuple[Figure, ...]:
    """By torch's number, as those of other checks."""
    backends = [("CPU" if context.profile == "cpu" else f"GPU {at}", each) for at, each in enumerate(found.values())]
    return tuple(Figure("backend", each["backend"], of={"on": on}) for on, each in backends if "backend" in each)


def judged(planned: dict[str, str], found: dict[str, dict[str, Any]]) -> Verdict:
    """A plan without a word on attention, as one for the CPU, cannot be broken: what is taken is told."""
    names = {gpu: f"GPU {gpu if gpu.isdigit() else at}" if gpu else "" for at, gpu in enumerate(found)}
    evidence = {"found": {names[gpu] or "here": each for gpu, each in found.items()}, "planned": planned}
    problems = []
    for gpu, each in found.items():
        name, wanted = names[gpu] and f"{names[gpu]}: ", planned.get(gpu)
        if "problem" in each:
            problems.append(f"{name}vLLM names no attention backend: {each['problem']}")
        elif wanted and each["backend"] != wanted:
            problems.append(f"{name}vLLM takes {each['backend']}, and {wanted} was planned")
    if problems:
        return Verdict(passed=False, summary="; ".join(problems), evidence=evidence, hint=_HINT)
    taken = " and ".join(sorted({each["backend"] for each in found.values()}))
    judged_by = "as planned" if planned.keys() & found.keys() else "nothing was planned"
    return Verdict(passed=True, summary=f"vLLM takes {taken}, {judged_by}", evidence=evidence)


_HINT = "vllm serve --attention-backend NAME says why a backend is not taken; the plan's reasons: ./setup.sh plan"


CHECK = Check(
    name="attention_backend",
    title="Attention backend",
    proves="on every GPU vLLM takes the attention backend that was planned",
    step=50,
    weight="should",
    on="environment",
    profile="quick",
    deadline_s=180,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
    every_gpu=True,
)
