"""flash-attn compiled for a plan's GPUs, in a toolkit of its own, which goes when the wheel is in the store."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from provision.catalog.rows import FlashAttnSource
from provision.doors import network
from provision.engine import apply, environments, resolve, store
from provision.engine.bring_up import site
from provision.engine.events import Note
from provision.engine.uv import planned
from provision.errors import StepFailed
from provision.flash_attn import build_steps, partial_build, wheel_store
from provision.flash_attn.admit import Ground, Refused, admitted, machine
from provision.flash_attn.build_steps import Recipe
from provision.flash_attn.wheel_store import Kept
from provision.host import compilers, cpu, cuda_toolkits, memory
from provision.plan import choose_jobs, choose_toolkit
from provision.plan.choose_jobs import Jobs
from provision.plan.choose_toolkit import Toolkit
from provision.steps.model import Lock, Site, Wheel

_FAILED: Final = "flash-attn could not be compiled: "


def built(ground: Ground) -> Kept:
    """Compiled for the plan's architectures; what a killed run has compiled is not compiled again."""
    source, archive = _source(ground)
    cxx = _cxx(ground, source)
    cuda, gcc = choose_toolkit.torch_cuda(ground.asked.plan), ground.host.known(compilers.FACT) or ()
    seen = ground.host.known(cuda_toolkits.FACT)
    toolkit = choose_toolkit.choose(cuda, cxx, gcc, seen.toolkits if seen else (), ground.catalogue)
    if isinstance(toolkit, str):
        raise Refused(toolkit)
    lock = _toolkit_lock(ground, toolkit)
    made_from = _made_from(ground, toolkit, lock, archive, cxx)
    recipe = _recipe(ground, source, toolkit, archive, made_from)
    there = site(ground.asked, str(ground.prefix / environments.TOOLKITS / f"flash-attn-{wheel_store.key(made_from)}"))
    began = time.monotonic()
    made = _made(ground, recipe, lock, there)
    seconds = time.monotonic() - began
    found = admitted(ground, made, origin="built", made_from=made_from, seconds=seconds)
    store.remove_toolkits(ground.prefix)
    return found


def _cxx(ground: Ground, source: FlashAttnSource) -> int:
    """The C++ standard that torch's headers need, where that is newer than its own."""
    return max(source.cxx, ground.release.cxx if ground.release else 0)


def _source(ground: Ground) -> tuple[FlashAttnSource, Wheel]:
    """The source release that the plan names, and where it lies on the index."""
    version = planned(ground.asked.plan, "flash-attn").version
    source = next(row for row in ground.catalogue.flash_attn_source if row.version == version)
    page = network.project(ground.index, "flash-attn")
    for package in page.packages:
        if package.package_type == "sdist" and package.version == version:
            if not (digest := package.digests.get("sha256", "")):
                raise Refused("the index gives no SHA-256 of its source release")  # what nobody vouches for is not run
            return source, Wheel(url=package.url, sha256=digest, size=package.size or 0)
    raise Refused(f"the source release {version} is not on this index")


def _toolkit_lock(ground: Ground, toolkit: Toolkit) -> Lock:
    """torch as it is locked, and what compiles beside it."""
    asked = ground.asked
    nvcc = () if toolkit.cuda_home else (f"{build_steps.CUDA_COMPILER}=={toolkit.cuda}.*",)
    wanted = ("torch", *nvcc, *build_steps.TOOLS)
    with tempfile.TemporaryDirectory(prefix="vllm-ready-") as folder:
        found = resolve.beside(asked.plan, asked.lock, wanted, site(asked, "").uv, asked.environment, Path(folder))
    if isinstance(found, str):
        raise Refused(f"what compiles it is not to be had: {found}")
    return found


def _made_from(ground: Ground, toolkit: Toolkit, lock: Lock, archive: Wheel, cxx: int) -> dict[str, str]:
    """Whatever could make another wheel of the same name."""
    plan = ground.asked.plan
    torch = next(pin for pin in lock.pins if pin.name == "torch")
    nvcc = toolkit.nvcc or lock.version("nvidia-cuda-nvcc") or toolkit.cuda
    found = {
        "flash-attn": planned(plan, "flash-attn").version,
        "source": archive.sha256,
        "torch": f"{torch.version} {torch.wheel.sha256}",
        "python": plan.python,
        "machine": machine(plan),
        "architectures": " ".join(plan.flash_attn.arches),
        "compilers": f"nvcc {nvcc}, g++ {toolkit.compiler_version}, C++{cxx}",
    }
    only = partial_build.only()
    return found | ({"only": only} if only else {})


def _recipe(
    ground: Ground, source: FlashAttnSource, toolkit: Toolkit, archive: Wheel, made_from: dict[str, str]
) -> Recipe:
    plan = ground.asked.plan
    there, processor = ground.host.known(memory.FACT), ground.host.known(cpu.FACT)
    ours = len(os.sched_getaffinity(0))
    jobs = choose_jobs.choose(
        min(ours, (processor.usable if processor else None) or ours),
        (there.available_gb or there.total_gb) if there else 0.0,
        there.allowed_gb if there else None,
        len(plan.flash_attn.arches),
        cpu_hours_per_arch=source.cpu_hours_per_arch,
    )
    if isinstance(jobs, str):
        raise Refused(jobs)
    ground.events(
        Note(text=f"compiling {jobs.jobs} of its files at once: {_estimated(jobs, len(plan.flash_attn.arches))}")
    )
    arches = "".join(f".sm{arch.replace('.', '')}" for arch in plan.flash_attn.arches)
    return Recipe(
        source=archive,
        local=f"cu{toolkit.cuda.replace('.', '')}.torch{ground.torch}{arches}.{wheel_store.key(made_from)}",
        arches=plan.flash_attn.arches,
        cxx=_cxx(ground, source),
        jobs=jobs.jobs,
        threads=jobs.threads,
        compiler=toolkit.compiler,
        ccache=shutil.which("ccache") or "",
        cuda_home=toolkit.cuda_home,
        only=made_from.get("only", ""),
    )


def _estimated(jobs: Jobs, arches: int) -> str:
    disk = choose_jobs.disk_gb(arches)
    return f"about {jobs.hours:.1f} h, up to {jobs.peak_gb:.0f} GB of memory and {disk:.0f} GB of disk, as estimated"


def _made(ground: Ground, recipe: Recipe, lock: Lock, there: Site) -> Path:
    """The wheel; made once more where a killed run has moved it into the store and left no note of it."""
    for _ in range(2):
        _compiled(ground, recipe, lock, there)
        for wheel in Path(build_steps.wheels(there)).glob("*.whl"):
            return wheel
        shutil.rmtree(there.generation)
    raise Refused("its setup ended well and made no wheel")


def _compiled(ground: Ground, recipe: Recipe, lock: Lock, there: Site) -> None:
    asked = ground.asked
    try:
        apply.build(
            asked.plan,
            lock,
            there,
            build_steps.steps(recipe),
            ground.events,
            Path(asked.logs),
            environment=asked.environment,
            keep_open=(ground.lock,),
        )
    except StepFailed as failure:
        said = next((line for line in failure.what.splitlines() if line.strip().startswith(_FAILED)), "")
        if not said or "No space left" in said:
            raise
        raise Refused(
            f"{said.strip().removeprefix(_FAILED)}; its log is {Path(there.logs).name}/62-compile.log"
        ) from failure
