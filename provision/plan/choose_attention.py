"""The attention backend that vLLM takes on each GPU, and whether its code is native there or compiled from PTX."""

from __future__ import annotations

from provision.catalog.rows import Catalogue
from provision.host.gpus import Gpu
from provision.plan._model import Attention
from provision.plan.candidates import Candidate
from provision.plan.situation import Situation
from provision.plan.versions import EXACT_CODE_ONLY, allows, jits, numbers, reaches, serves


def choose(
    candidate: Candidate, situation: Situation, used: tuple[str, ...], catalogue: Catalogue
) -> tuple[Attention, ...]:
    """One line a GPU."""
    return tuple(_on(gpu, candidate, situation, catalogue) for gpu in situation.gpus if gpu.id in used)


def _on(gpu: Gpu, candidate: Candidate, situation: Situation, catalogue: Catalogue) -> Attention:
    capability = gpu.cc or ""
    backend, why = _first_choice(capability, candidate.release.version, catalogue)
    if backend != "FLASH_ATTN":
        made = "made for this GPU at run time" if backend != "XFORMERS" else "from the xformers package"
        return Attention(gpu=gpu.id, backend=backend, code="native", why=f"{why}; kernels {made}")
    return _flash_attention(gpu.id, capability, candidate, situation, catalogue, why)


def _first_choice(capability: str, vllm: str, catalogue: Catalogue) -> tuple[str, str]:
    for rule in catalogue.rules:
        covered = capability in rule.cc or capability.split(".", maxsplit=1)[0] in rule.cc
        if rule.kind == "attention" and covered and allows(rule.versions, vllm):
            return rule.value, rule.why
    return "FLASH_ATTN", "first in the list; nobody has written down the order for this GPU"


def _flash_attention(
    gpu: str, capability: str, candidate: Candidate, situation: Situation, catalogue: Catalogue, why: str
) -> Attention:
    """FlashAttention 3 on Hopper, else 2; its files decide between native code, PTX, or neither."""
    build = candidate.build
    if capability.startswith("9.") and build.fa3 and serves(build.fa3.sm, capability):
        return Attention(
            gpu=gpu, backend="FLASH_ATTN", code="native", why=f"{why}; FlashAttention 3 carries {capability}"
        )
    if build.fa2 is None:
        return Attention(
            gpu=gpu,
            backend="FLASH_ATTN",
            code="native",
            why=f"{why}; from the separate vllm-flash-attn package",
        )
    if serves(build.fa2.sm, capability):
        return Attention(
            gpu=gpu,
            backend="FLASH_ATTN",
            code="native",
            why=f"{why}; FlashAttention 2 carries {' '.join(build.fa2.sm)}",
        )
    needed = ptx_driver(build.cuda or "", catalogue)
    if capability in EXACT_CODE_ONLY:
        needed = needed.split(".", 1)[0]  # JetPack counts its drivers otherwise within a branch
    if jits(build.fa2.ptx, capability) and reaches(situation.driver or "", needed):
        return Attention(
            gpu=gpu,
            backend="FLASH_ATTN",
            code="ptx-jit",
            why=f"{why}; FlashAttention 2 carries it as PTX ({' '.join(build.fa2.ptx)}), which the driver compiles",
        )
    reason = (
        f"FlashAttention 2 carries it as PTX of CUDA {build.cuda}, "
        f"which driver {situation.driver} cannot compile ({needed} can)"
    )
    return Attention(
        gpu=gpu,
        backend="TRITON_ATTN",
        code="native",
        why=f"{reason}; serve with --attention-backend TRITON_ATTN",
    )


def ptx_driver(cuda: str, catalogue: Catalogue) -> str:
    """The driver that came with a toolkit: an older one cannot compile the toolkit's PTX."""
    exact = next((row.driver for row in catalogue.cuda if row.version == cuda and row.driver), None)
    later = (row.driver for row in catalogue.cuda if row.driver and numbers(row.version) > numbers(cuda))
    return exact or next(later, "580.65.06")
