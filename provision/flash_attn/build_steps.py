"""How flash-attn is compiled, as two steps in a toolkit of its own: pure, as the numbered steps are."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from provision.plan._model import Plan
from provision.steps import step_20_toolchain, step_30_python, step_50_vllm
from provision.steps.model import Action, Fetch, Lock, Pin, Run, Site, Step, Wheel, Write, fetch

COMPILE: Final = Path(__file__).with_name("compile_flash_attn.py")
# What compiles beside torch; its CUDA compiler comes at the very version that torch itself holds its CUDA libraries at.
TOOLS: Final = ("setuptools", "wheel", "ninja", "packaging", "psutil")
CUDA_COMPILER: Final = "cuda-toolkit[nvcc,cccl]"
_A_DAY_S: Final = 86400.0
NAMES: Final = {61: "toolkit", 62: "compile"}  # parts of step 60


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What is compiled, for what, and with what; `cuda_home` is "" for the toolkit of the wheels.

    `only`: a pattern for the names of the sources that are compiled, for whoever works on the build itself; all
    others are then left out, and say so when they are called.
    """

    source: Wheel
    local: str
    arches: tuple[str, ...]
    cxx: int
    jobs: int
    threads: int
    compiler: str
    ccache: str = ""
    cuda_home: str = ""
    only: str = ""


def steps(recipe: Recipe) -> tuple[Step, ...]:
    toolkit = Step(
        number=61,
        name=NAMES[61],
        title="A toolkit to compile with",
        why="nvcc, its headers and torch must be of one CUDA, whatever else is on the host",
        actions=partial(_toolkit, recipe),
        leaves=lambda plan, lock: tuple(pin.name for pin in lock.pins),  # noqa: ARG005 - the contract's signature
    )
    compiled = Step(
        number=62,
        name=NAMES[62],
        title="Compile flash-attn",
        why="no published wheel fits; for the GPUs of this host alone it takes a fraction of the time",
        actions=partial(_compile, recipe),
    )
    return (toolkit, compiled)


def sources(site: Site) -> str:
    """Beside the toolkit, whose files are its packages' alone."""
    return f"{site.generation}-sources"


def wheels(site: Site) -> str:
    """Where the finished wheel lies until it is kept."""
    return f"{sources(site)}/dist"


def _toolkit(recipe: Recipe, plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    fetched = Lock(pins=(*lock.pins, Pin(name="flash-attn", version="", wheel=recipe.source))).without_tokens()
    python, *_ = (action for action in step_30_python.actions(plan, lock, site) if isinstance(action, Run))
    return (
        *step_20_toolchain.actions(plan, lock, site),
        python,
        Write(
            title="all that it takes from the store, which goes with it",
            path=f"{site.state}/lock.json",
            text=msgspec.json.encode(fetched).decode(),
        ),
        fetch(lock.pins, site),
        Write(title="the toolkit's lock", path=site.lock_file, text=lock.text),
        Run(
            title=f"install torch {lock.version('torch')} and what compiles beside it",
            argv=site.install(site.lock_file),
        ),
        step_50_vllm.lay_out_toolkit(plan, site),
    )


def _compile(recipe: Recipe, plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - likewise
    argv = (site.python, "-I", str(COMPILE), f"{site.wheels}/{recipe.source.file}", sources(site), wheels(site))
    more = ("--jobs", str(recipe.jobs), "--std", str(recipe.cxx), *(("--only", recipe.only) if recipe.only else ()))
    arches = ";".join(arch.replace(".", "") for arch in recipe.arches)
    return (
        Fetch(title="fetch its source release", folder=site.wheels, wheels=(recipe.source,)),
        Run(
            title=f"compile flash-attn for {' '.join(recipe.arches)}",
            argv=(*argv, *more),
            env=_environment(recipe, site) | {"FLASH_ATTN_CUDA_ARCHS": arches},
            deadline_s=_A_DAY_S,
        ),
    )


def _environment(recipe: Recipe, site: Site) -> dict[str, str]:
    home = recipe.cuda_home or site.toolkit
    found = {
        "CUDA_HOME": home,
        "CC": recipe.compiler,
        "CXX": recipe.compiler,
        # torch has nvcc's bounds for g++ by heart, up to 2.11 narrower than nvcc's own, by which this one was chosen.
        "TORCH_DONT_CHECK_COMPILER_ABI": "1",
        "NVCC_THREADS": str(recipe.threads),
        "FLASH_ATTN_LOCAL_VERSION": recipe.local,
        "FLASH_ATTENTION_FORCE_BUILD": "TRUE",  # else its setup first looks for a wheel, without a hash or a deadline
    }
    if recipe.ccache:
        # Not CXX, which torch takes for one path: it asks that for its version, and quotes it whole in ninja's file.
        found["PYTORCH_NVCC"] = f"{recipe.ccache} {home}/bin/nvcc"
    return found
