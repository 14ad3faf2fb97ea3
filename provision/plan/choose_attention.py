"""The attention backend that vLLM takes on each GPU, with native code or code compiled from PTX."""

from __future__ import annotations

from msgspec.structs import replace

from provision.catalog.rows import Catalogue, Rule
from provision.host.gpus import Gpu
from provision.plan._model import Attention
from provision.plan.candidates import Candidate
from provision.plan.situation import Situation
from provision.plan.versions import EXACT_CODE_ONLY, allows, jits, major, numbers, reaches, serves

_ORIGIN_OF_KERNELS = {
    "XFORMERS": "from the xformers package",
    "FLASHINFER": "compiled for this GPU at run time, which needs nvcc",
}


def choose(
    candidate: Candidate, situation: Situation, used: tuple[str, ...], catalogue: Catalogue
) -> tuple[Attention, ...]:
    return tuple(
        _on(gpu, candidate, situation, catalogue) for gpu in situation.gpus if gpu.id in used
    )


def _on(gpu: Gpu, candidate: Candidate, situation: Situation, catalogue: Catalogue) -> Attention:
    rule = _first_choice(gpu.cc or "", candidate.release.version, catalogue)
    if rule is None:
        why = "the first in vLLM's order; the catalogue has no order for this GPU"
        return _flash_attention(gpu, candidate, situation, catalogue, why)
    if rule.value == "FLASH_ATTN":
        return _flash_attention(gpu, candidate, situation, catalogue, rule.why)
    origin = _ORIGIN_OF_KERNELS.get(rule.value, "compiled for this GPU at run time")
    # The catalogue marks orders that are read in the code and not measured.
    return Attention(
        gpu=gpu.id,
        backend=rule.value,
        code="native",
        why=f"{rule.why}; kernels {origin}",
        warning=rule.why if rule.unproved else "",
    )


def _first_choice(capability: str, vllm: str, catalogue: Catalogue) -> Rule | None:
    # A rule names single capabilities ("7.5") or a whole generation ("8").
    generation = major(capability)
    rules = (
        rule
        for rule in catalogue.rules
        if rule.kind == "attention"
        and (capability in rule.cc or generation in rule.cc)
        and allows(rule.versions, vllm)
    )
    return next(rules, None)


def _flash_attention(
    gpu: Gpu, candidate: Candidate, situation: Situation, catalogue: Catalogue, why: str
) -> Attention:
    """Return FlashAttention 3 on Hopper, else 2; Triton where the driver cannot compile its PTX."""
    build, capability = candidate.build, gpu.cc or ""
    carries = "carries" if build.basis == "read" else "should carry (inferred)"
    # Native FlashAttention is the default; the cases below replace it.
    flash = Attention(gpu=gpu.id, backend="FLASH_ATTN", code="native", why=why)
    if capability.startswith("9.") and build.fa3 and serves(build.fa3.sm, capability):
        return replace(
            flash, why=f"{why}; FlashAttention 3 {carries} machine code for {capability}"
        )
    if build.fa2 is None:
        return replace(flash, why=f"{why}; from the separate vllm-flash-attn package")
    if serves(build.fa2.sm, capability):
        return replace(
            flash,
            why=f"{why}; FlashAttention 2 {carries} machine code for {' '.join(build.fa2.sm)}",
        )
    needed = ptx_driver(build.cuda or "", catalogue)
    if capability in EXACT_CODE_ONLY:
        needed = major(needed)  # JetPack numbers its drivers differently within a branch
    ptx = " ".join(build.fa2.ptx)
    if jits(build.fa2.ptx, capability) and reaches(situation.driver or "", needed):
        return replace(
            flash,
            code="ptx-jit",
            why=f"{why}; FlashAttention 2 {carries} PTX ({ptx}), compiled by the driver",
        )
    reason = (
        f"FlashAttention 2 has only PTX of CUDA {build.cuda} for this GPU, which needs driver"
        f" {needed};"
        f" this host has {situation.driver}"
    )
    return Attention(
        gpu=gpu.id,
        backend="TRITON_ATTN",
        code="native",
        why=reason,
        warning=f"{reason}: serve with --attention-backend TRITON_ATTN,"
        f" or install driver {needed} or newer",
    )


def ptx_driver(cuda: str, catalogue: Catalogue) -> str:
    """Return the driver released with a toolkit: an older one cannot compile its PTX."""
    known = [row for row in catalogue.cuda if row.driver and numbers(row.version) >= numbers(cuda)]
    newest = max(catalogue.cuda_major, key=lambda row: int(row.major)).driver
    return (known[0].driver if known else None) or newest
