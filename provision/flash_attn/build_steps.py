"""Steps 61 and 62: make a toolkit, and compile flash-attn in it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from provision.plan._model import Plan
from provision.steps import step_20_toolchain, step_30_python, step_50_vllm
from provision.steps.model import Action, Fetch, Lock, Pin, Run, Site, Step, Wheel, Write, fetch

COMPILE: Final = Path(__file__).with_name("compile_flash_attn.py")
# The tools that compile beside torch.
TOOLS: Final = ("setuptools", "wheel", "ninja", "packaging", "psutil")
# Unpinned here: torch's lock holds it at the version of torch's own CUDA libraries.
CUDA_COMPILER: Final = "cuda-toolkit[nvcc,cccl]"
_A_DAY_S: Final = 86400.0
NAMES: Final = {61: "toolkit", 62: "compile"}  # parts of step 60


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """The source, target and tools of one compilation.

    `cuda_home` is "" for the toolkit that comes in wheels. `only` is a pattern of source names for
    work on the build itself: the other sources are left out, and their functions raise.
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
    return (
        Step(
            number=61,
            name=NAMES[61],
            title="A toolkit to compile with",
            why="nvcc, its headers and torch must be of one CUDA, whatever else is on the host",
            actions=partial(_toolkit, recipe),
            leaves=lambda plan, lock: tuple(pin.name for pin in lock.pins),  # noqa: ARG005 - contract
        ),
        Step(
            number=62,
            name=NAMES[62],
            title="Compile flash-attn",
            why="no published wheel fits; "
            "for the GPUs of this host alone it takes little of the time",
            actions=partial(_compile, recipe),
        ),
    )


def sources(site: Site) -> str:
    """Return the folder of the sources, beside the toolkit: it holds files of its packages only."""
    return f"{site.generation}-sources"


def wheels(site: Site) -> str:
    """Return the folder of the finished wheel, until the store takes it."""
    return f"{sources(site)}/dist"


def _toolkit(recipe: Recipe, plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    fetched = Lock(
        pins=(*lock.pins, Pin(name="flash-attn", version="", wheel=recipe.source))
    ).without_tokens()
    python, *_ = (
        action for action in step_30_python.actions(plan, lock, site) if isinstance(action, Run)
    )
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


def _compile(
    recipe: Recipe,
    plan: Plan,  # noqa: ARG001 - the contract's signature
    lock: Lock,  # noqa: ARG001 - the contract's signature
    site: Site,
) -> tuple[Action, ...]:
    argv = (
        site.python,
        "-I",
        str(COMPILE),
        f"{site.wheels}/{recipe.source.file}",
        sources(site),
        wheels(site),
    )
    options = (
        "--jobs",
        str(recipe.jobs),
        "--std",
        str(recipe.cxx),
        *(("--only", recipe.only) if recipe.only else ()),
    )
    return (
        Fetch(title="fetch its source release", folder=site.wheels, wheels=(recipe.source,)),
        Run(
            title=f"compile flash-attn for {' '.join(recipe.arches)}",
            argv=(*argv, *options),
            env=_environment(recipe, site)
            | {"FLASH_ATTN_CUDA_ARCHS": ";".join(arch.replace(".", "") for arch in recipe.arches)},
            deadline_s=_A_DAY_S,
        ),
    )


def _environment(recipe: Recipe, site: Site) -> dict[str, str]:
    home = recipe.cuda_home or site.toolkit
    variables = {
        "CUDA_HOME": home,
        "CC": recipe.compiler,
        "CXX": recipe.compiler,
        # Up to 2.11 torch's bounds for g++ are narrower than those of nvcc, which chose this one.
        "TORCH_DONT_CHECK_COMPILER_ABI": "1",
        "NVCC_THREADS": str(recipe.threads),
        "FLASH_ATTN_LOCAL_VERSION": recipe.local,
        # Else its setup first looks for a wheel, without a hash or a deadline.
        "FLASH_ATTENTION_FORCE_BUILD": "TRUE",
    }
    if recipe.ccache:
        # Not in CXX: torch asks that path for its version, and quotes it as a whole for ninja.
        variables["PYTORCH_NVCC"] = f"{recipe.ccache} {home}/bin/nvcc"
    return variables
