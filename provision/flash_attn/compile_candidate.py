"""The candidate that compiles flash-attn for a plan's GPUs, in a toolkit of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from provision.catalog.rows import FlashAttnSource
from provision.errors import StepFailed
from provision.flash_attn import admit, build_steps, partial_build, wheel_store
from provision.flash_attn.admit import Order
from provision.flash_attn.build_steps import Recipe
from provision.host import compilers, cpu, cuda_toolkits, memory
from provision.plan import choose_jobs, choose_toolkit
from provision.plan.choose_jobs import Jobs
from provision.plan.choose_toolkit import Toolkit
from provision.steps.model import CandidateRefused, Lock, Wheel, WheelCandidate, WheelWork

_FAILED: Final = "flash-attn could not be compiled: "  # begins the last line of the compile program


def candidate(order: Order) -> WheelCandidate:
    """Return the build as a candidate. Files that a killed run has compiled are used again."""
    source = next(row for row in order.catalogue.flash_attn_source if row.version == order.version)
    archive = find_archive(source, order.index)
    toolkit = _choose_toolkit(order, source)
    nvcc = () if toolkit.cuda_home else (f"{build_steps.CUDA_COMPILER}=={toolkit.cuda}.*",)
    return WheelCandidate(
        tools=("torch", *nvcc, *build_steps.TOOLS),
        work=lambda tools: _work(order, source, archive, toolkit, tools),
    )


def _work(
    order: Order, source: FlashAttnSource, archive: Wheel, toolkit: Toolkit, tools: Lock
) -> WheelWork:
    made_from = _made_from(order, source, archive, toolkit, tools)
    jobs = _jobs(order, source)
    return WheelWork(
        folder=f"flash-attn-{wheel_store.key(made_from)}",
        lock=tools,
        steps=build_steps.steps(_recipe(order, source, archive, toolkit, made_from, jobs)),
        note=f"compiling {jobs.jobs} of its files at once: {_estimate(order, jobs)}",
        wheel=lambda site: next(Path(build_steps.wheels(site)).glob("*.whl"), None),
        keep=lambda path, seconds: admit.admit(
            order, path, origin="built", made_from=made_from, seconds=seconds
        ),
        refusal=_refusal,
    )


def _refusal(failure: StepFailed) -> str:
    """Return the compile program's reason. Without one, or on a full disk, a retry may help."""
    reasons = [line for line in failure.output if line.startswith(_FAILED)]
    if not reasons or "No space left" in reasons[-1]:
        return ""
    return reasons[-1].removeprefix(_FAILED)


def find_archive(source: FlashAttnSource, index: str) -> Wheel:
    """Return the source archive on the index. Its setup runs, so only the known bytes are taken."""
    from provision.doors import network  # it loads the HTTP library

    for package in network.project(index, "flash-attn").packages:
        if package.package_type == "sdist" and package.version == source.version:
            listed = package.digests.get("sha256", source.sha256)
            if listed != source.sha256:
                raise CandidateRefused(
                    f"the source release {source.version} on this index has the SHA-256 {listed}, "
                    f"and the catalogue names {source.sha256}"
                )
            return Wheel(url=package.url, sha256=source.sha256, size=package.size or 0)
    raise CandidateRefused(f"the source release {source.version} is not on this index")


def _cxx(order: Order, source: FlashAttnSource) -> int:
    """Return the C++ standard of the sources, or the newer one that torch's headers need."""
    return max(source.cxx, order.release.cxx if order.release else 0)


def _choose_toolkit(order: Order, source: FlashAttnSource) -> Toolkit:
    known = order.host.known(cuda_toolkits.FACT)
    toolkit = choose_toolkit.choose(
        choose_toolkit.torch_cuda(order.plan),
        _cxx(order, source),
        order.host.known(compilers.FACT) or (),
        known.toolkits if known else (),
        order.catalogue,
    )
    if isinstance(toolkit, str):
        raise CandidateRefused(toolkit)
    return toolkit


def _made_from(
    order: Order, source: FlashAttnSource, archive: Wheel, toolkit: Toolkit, tools: Lock
) -> dict[str, str]:
    torch = next(pin for pin in tools.pins if pin.name == "torch")
    nvcc = toolkit.nvcc or tools.version("nvidia-cuda-nvcc") or toolkit.cuda
    only = partial_build.only()
    return {
        "flash-attn": order.version,
        "source": archive.sha256,
        "torch": f"{torch.version} {torch.wheel.sha256}",
        "python": order.plan.python,
        "machine": order.machine,
        "architectures": " ".join(order.plan.flash_attn.arches),
        "compilers": f"nvcc {nvcc}, g++ {toolkit.compiler_version}, C++{_cxx(order, source)}",
        **({"only": only} if only else {}),
    }


def _jobs(order: Order, source: FlashAttnSource) -> Jobs:
    available, processor = order.host.known(memory.FACT), order.host.known(cpu.FACT)
    own = len(os.sched_getaffinity(0))
    jobs = choose_jobs.choose(
        min(own, (processor.usable if processor else None) or own),
        (available.available_gb or available.total_gb) if available else 0.0,
        available.allowed_gb if available else None,
        len(order.plan.flash_attn.arches),
        cpu_hours_per_arch=source.cpu_hours_per_arch,
    )
    if isinstance(jobs, str):
        raise CandidateRefused(jobs)
    return jobs


def _recipe(
    order: Order,
    source: FlashAttnSource,
    archive: Wheel,
    toolkit: Toolkit,
    made_from: dict[str, str],
    jobs: Jobs,
) -> Recipe:
    arches = order.plan.flash_attn.arches
    sm = "".join(f".sm{arch.replace('.', '')}" for arch in arches)
    cuda, key = toolkit.cuda.replace(".", ""), wheel_store.key(made_from)
    return Recipe(
        source=archive,
        local=f"cu{cuda}.torch{order.torch}{sm}.{key}",
        arches=arches,
        cxx=_cxx(order, source),
        jobs=jobs.jobs,
        threads=jobs.threads,
        compiler=toolkit.compiler,
        ccache=shutil.which("ccache") or "",
        cuda_home=toolkit.cuda_home,
        only=made_from.get("only", ""),
    )


def _estimate(order: Order, jobs: Jobs) -> str:
    disk = choose_jobs.disk_gb(len(order.plan.flash_attn.arches))
    return (
        f"about {jobs.hours:.1f} h, up to {jobs.peak_gb:.0f} GB of memory "
        f"and {disk:.0f} GB of disk, as estimated"
    )
