"""Check, Needs, Context and Verdict: what a check declares, what it is told and what it may claim."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Needs:
    """What must be there before a check can decide anything; where it is not, the check is skipped and says so.

    `packages` are import names. `gpus` counts only where vLLM is built for CUDA: on the CPU it runs without any.
    `distributions`: only an environment whose lock has them promises to pass. `tools`: commands on PATH, of each
    entry one ("c++ g++ clang++"). `capability`: of one GPU at least, where GPUs are used. `recording`: what this
    host is, as facts. `serving`: the address of a server that is already running. `or_plan`: where no GPU is, a plan
    that says which ones it is for does in place of them and of the recording.
    """

    packages: tuple[str, ...] = ()
    gpus: int = 0
    profile: Literal["cpu", "cuda"] | None = None
    lock: bool = False
    distributions: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    capability: tuple[int, int] | None = None
    recording: bool = False
    serving: bool = False
    or_plan: bool = False


@dataclass(frozen=True)
class Context:
    """What the launcher knows about the environment under test; `scratch` is the check's own, empty folder.

    `contents` holds the true hashes of files for which a wheel's own RECORD is wrong, by path below site-packages.
    `facts` is the host as it is now and `earlier` as an earlier run found it, each as `vllm-ready host --json` has
    them; `plan` is the plan of this environment. All three are empty where nobody recorded or planned.
    `serving` is the URL of a server that is already running, where somebody has named one.
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
    """What can be laid beside another run's: a number with all that it was made of, or a word.

    `of`: what it is of, in words: {"gpu": "0", "attention": "SDPA flash", "tokens": "4096"}. `samples`: each of the
    `repeats` by itself, in `unit`; the value is their median. A word is `better` the "same".
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
    """What a body claims: its claim holds, or it does not. Evidence is plain JSON.

    `gpus`: on which of the context's it was tried, for a check that is about every one.
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

    `every_gpu`: the claim is about each GPU that is used, and holds only where all of them were tried.
    """

    name: str
    title: str
    proves: str
    step: int
    weight: Literal["must", "should"]
    on: Literal["environment", "host"]
    profile: Literal["passive", "quick", "full"]
    deadline_s: float
    body: Callable[[Context], Verdict]
    needs: Needs = Needs()
    every_gpu: bool = False


def whole(gpus: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are no slices of MIG: of these a process sees one, and they send each other nothing."""
    return tuple(gpu for gpu in gpus if ":" not in gpu and not gpu.startswith("MIG-"))


def tried_by_one(gpus: tuple[str, ...]) -> tuple[str, ...]:
    """What one process can try of these: all whole ones, else the first slice."""
    return whole(gpus) or gpus[:1]


def planned(context: Context) -> tuple[str, ...]:
    """The compute capabilities of the GPUs that the plan is for, where it says them."""
    return tuple(context.plan.get("gpus", {}).get("capabilities", ()))


def unmet(needs: Needs, context: Context) -> str:
    """The reason why a check cannot decide here; empty where it can."""
    if needs.profile and needs.profile != context.profile:
        return f"is about vLLM for {needs.profile}; this environment is for {context.profile}"
    gpus = context.gpus if needs.gpus < 2 else whole(context.gpus)
    if needs.or_plan and not gpus and planned(context):
        needs = replace(needs, gpus=0, recording=False)
    if context.profile == "cuda" and len(gpus) < needs.gpus:
        return f"needs {needs.gpus} GPU{'s' * (needs.gpus > 1)}; this host has {len(gpus) or 'none'}"
    if needs.lock and not context.pins:
        return "needs the lock that this environment was made from"
    if needs.recording and not context.facts:
        return "needs a recording of this host, which `vllm-ready check` makes"
    if needs.serving and not context.serving:
        return "needs a server: --serving URL"
    missing = [name for name in needs.packages if not is_there(name)]
    if missing:
        return f"needs {' and '.join(missing)} in this environment"
    absent = [tools.partition(" ")[0] for tools in needs.tools if not any(map(shutil.which, tools.split()))]
    if absent:
        return f"needs {' and '.join(absent)} on PATH"
    return _too_old(needs, context)


def is_there(package: str) -> bool:
    """Not imported for it, but for what it is a part of, where its name has a dot."""
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def _too_old(needs: Needs, context: Context) -> str:
    """The last question: only now does anybody wake the driver. What is tried without GPUs too does without this."""
    if not needs.capability or context.profile == "cpu" or not (needs.gpus or context.gpus):
        return ""
    cuda: Any = importlib.import_module("torch").cuda
    best = max((cuda.get_device_capability(number) for number in range(cuda.device_count())), default=None)
    if best is None:  # a GPU that is used and that torch does not see is a finding
        return ""
    wanted, found = (".".join(map(str, each)) for each in (needs.capability, best))
    return "" if best >= needs.capability else f"needs compute capability {wanted}; the best here is {found}"
