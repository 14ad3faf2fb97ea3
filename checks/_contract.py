"""Check, Needs, Context, Figure and Verdict: the types that a check is written with."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Needs:
    """Conditions under which a check can decide; where one is not met, the check is skipped.

    `packages` are import names. `gpus` counts only where vLLM is built for CUDA, since vLLM for
    the CPU runs without any. `distributions`: only an environment whose lock has them promises to
    pass. `tools`: commands on PATH, of each entry at least one ("c++ g++ clang++").
    `capability` and `most_capability`: the lowest and the highest compute capability, met if one
    GPU lies between. A tool "$CC" is the command in the variable CC. `recording`: the facts of
    this host. `serving`: the address of a running server. `or_plan`: on a host without GPUs, a
    plan that names its GPUs replaces the GPUs and the recording.
    """

    packages: tuple[str, ...] = ()
    gpus: int = 0
    profile: Literal["cpu", "cuda"] | None = None
    lock: bool = False
    distributions: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    capability: tuple[int, int] | None = None
    most_capability: tuple[int, int] | None = None
    recording: bool = False
    serving: bool = False
    or_plan: bool = False


@dataclass(frozen=True)
class Context:
    """Knowledge of the launcher about the environment under test.

    `scratch` is an empty folder of the check's own. `contents` holds the true hashes of files for
    which a wheel's own RECORD is wrong, by path below site-packages. `facts` describes the host
    now and `earlier` the host in an earlier run, as in `./setup.sh host --json`; `plan` is the
    plan of this environment. All three are empty if nothing was recorded or planned. `serving` is
    the URL of a running server.
    """

    profile: Literal["cpu", "cuda"]
    scratch: str
    pins: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    promised: tuple[str, ...] = ()
    prefix: str = ""
    launcher: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    earlier: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    serving: str = ""


@dataclass(frozen=True)
class Figure:
    """A number with its samples, or a word, that can be compared with another run's.

    `of` says in words what was measured: {"gpu": "0", "attention": "SDPA flash"}. `samples` holds
    each of the `repeats`, in `unit`; the value is their median. A word is `better` the "same".
    """

    name: str
    value: float | str
    unit: str = ""
    better: Literal["higher", "lower", "same"] = "same"
    of: dict[str, str] = field(default_factory=dict)
    samples: tuple[float, ...] = ()
    repeats: int = 0
    method: str = ""


@dataclass(frozen=True)
class Verdict:
    """The result of a body: its claim holds, or it does not. Evidence is plain JSON.

    `gpus` lists the GPUs of the context that were tried, for a check about every GPU.
    """

    passed: bool
    summary: str
    evidence: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    figures: tuple[Figure, ...] = ()
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One claim: `proves` says what is true if it passes, `step` which numbered step it proves.

    Without `name` it is called like its file, and without `title` like its name. A failed
    "should" is a warning. `every_gpu`: the claim is about each GPU in use, and holds only if all
    of them were tried.
    """

    proves: str
    step: int
    body: Callable[[Context], Verdict]
    needs: Needs = Needs()
    name: str = ""
    title: str = ""
    weight: Literal["must", "should"] = "must"
    on: Literal["environment", "host"] = "environment"
    profile: Literal["passive", "quick", "full"] = "quick"
    deadline_s: float = 300
    every_gpu: bool = False


def whole_gpus(gpus: tuple[str, ...]) -> tuple[str, ...]:
    """Return the GPUs that are not slices of MIG.

    A process sees only one slice, and slices cannot send each other data.
    """
    return tuple(gpu for gpu in gpus if ":" not in gpu and not gpu.startswith("MIG-"))


def gpus_of_one_process(gpus: tuple[str, ...]) -> tuple[str, ...]:
    """Return the GPUs that one process can use: all whole ones, else the first slice."""
    return whole_gpus(gpus) or gpus[:1]


def planned_capabilities(context: Context) -> tuple[str, ...]:
    """Return the compute capabilities of the GPUs that the plan is for, as far as it has them."""
    return tuple(context.plan.get("gpus", {}).get("capabilities", ()))


def unmet_need(needs: Needs, context: Context) -> str:
    """Return the reason why a check cannot decide here, or "" if it can."""
    if needs.profile and needs.profile != context.profile:
        return f"is about vLLM for {needs.profile}; this environment is for {context.profile}"
    # Before the GPUs: without torch or vLLM nobody knows whether this environment is for them.
    missing = [name for name in needs.packages if not is_importable(name)]
    if missing:
        return f"needs {' and '.join(missing)} in this environment"
    gpus = context.gpus if needs.gpus < 2 else whole_gpus(context.gpus)
    if needs.or_plan and not gpus and planned_capabilities(context):
        needs = replace(needs, gpus=0, recording=False)
    if context.profile == "cuda" and len(gpus) < needs.gpus:
        return (
            f"needs {needs.gpus} GPU{'s' * (needs.gpus > 1)}; this host has {len(gpus) or 'none'}"
        )
    if needs.lock and not context.pins:
        return "needs the lock that this environment was made from"
    if needs.recording and not context.facts:
        return "needs a recording of this host, which `./setup.sh check` makes"
    if needs.serving and not context.serving:
        return "needs a server: --serving URL"
    absent = [
        tools.partition(" ")[0] for tools in needs.tools if not any(map(has_tool, tools.split()))
    ]
    if absent:
        return f"needs {' and '.join(absent)} on PATH"
    return _no_fitting_capability(needs, context)


def has_tool(word: str) -> bool:
    """Return whether a command is on PATH; "$CC" is the command in the variable CC."""
    if word.startswith("$"):
        word = next(iter(os.environ.get(word[1:], "").split()), "")
    return bool(word and shutil.which(word))


def is_importable(package: str) -> bool:
    """Return whether a package is installed, importing at most the package it is a part of."""
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def _no_fitting_capability(needs: Needs, context: Context) -> str:
    """Return the reason if no GPU has a compute capability in the needed range, else ""."""
    # Asked last, because this starts the driver. Checks that also run without GPUs need no answer.
    if context.profile == "cpu" or not (needs.gpus or context.gpus):
        return ""
    if not (needs.capability or needs.most_capability):
        return ""
    least, most = needs.capability or (0, 0), needs.most_capability or (99, 0)
    cuda: Any = importlib.import_module("torch").cuda
    present = [cuda.get_device_capability(number) for number in range(cuda.device_count())]
    # A GPU in use that torch does not see is a finding of the body, not a reason to skip it.
    if not present or any(least <= own <= most for own in present):
        return ""
    best, lowest = max(present), min(present)
    if best < least:
        return f"needs compute capability {_text(least)}; the best here is {_text(best)}"
    return f"supports at most compute capability {_text(most)}; the lowest here is {_text(lowest)}"


def _text(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
