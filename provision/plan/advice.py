"""Advice: changes of the host or the settings that allow a newer vLLM, the smallest first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import combinations

import msgspec
from msgspec.structs import replace

from provision.catalog.rows import Catalogue
from provision.plan.choose_gpus import against_driver
from provision.plan.frame import FETCHED_PYTHON
from provision.plan.identify import find
from provision.plan.situation import SOURCE_NAMES, Situation
from provision.plan.versions import newer, numbers, reaches
from provision.settings import Settings


class ExpectedVllm(msgspec.Struct, frozen=True, kw_only=True):
    """The vLLM that a host would get, with its full name and the GPU memory that it runs."""

    version: str
    name: str
    memory_gb: float = 0


class HostChange(msgspec.Struct, frozen=True, kw_only=True):
    """A possible change of a host or of its settings.

    `suits_most` marks the most helpful change of its kind where that is not the last one.
    """

    words: str
    apply: Callable[[Situation], Situation]
    suits_most: bool = False


# The settings that leave fewer releases to choose from.
NARROWING = ("vllm", "exclude_vllm", "torch", "cuda", "gpus", "python")
Search = Callable[[Situation], ExpectedVllm | None]
Kind = Callable[[Situation, Catalogue], Iterator[HostChange]]


def newer_vllm(
    situation: Situation, catalogue: Catalogue, than: ExpectedVllm | None, search: Search
) -> Iterator[str]:
    """Yield the changes that allow a newer vLLM: of each kind the smallest, then combinations."""
    best = than
    for kind in _KINDS:
        best_of_kind = than
        for change in kind(situation, catalogue):
            vllm = search(change.apply(situation))
            if vllm and _better(vllm, best_of_kind):
                best_of_kind = vllm
                best = vllm if _better(vllm, best) else best
                yield f"{change.words} would allow vLLM {vllm.name}"
    yield from _together(situation, catalogue, best, search)


def more_gpus(
    situation: Situation, catalogue: Catalogue, than: ExpectedVllm, search: Search
) -> Iterator[str]:
    """Yield the smallest change of each kind that would run all GPUs of the host."""
    # `gpus: all` accepts only a vLLM that runs every GPU.
    everything = replace(situation, settings=replace(situation.settings, gpus="all"))
    for kind in _KINDS:
        for change in kind(everything, catalogue):
            vllm = search(change.apply(everything))
            if vllm and vllm.memory_gb > than.memory_gb:
                yield f"{change.words} would run all GPUs, with vLLM {vllm.name}"
                break


def _better(vllm: ExpectedVllm, than: ExpectedVllm | None) -> bool:
    """Return whether a vLLM is newer and runs no less GPU memory: losing GPUs is no advice."""
    return than is None or (newer(vllm.version, than.version) and vllm.memory_gb >= than.memory_gb)


def _together(
    situation: Situation, catalogue: Catalogue, than: ExpectedVllm | None, search: Search
) -> Iterator[str]:
    """Yield the fewest changes that together allow a newer vLLM than any of them alone."""
    # A kind without changes (the newest driver is installed) cannot be combined.
    kinds = list(filter(None, (list(kind(situation, catalogue)) for kind in _KINDS)))
    needed = [
        next((change for change in changes if change.suits_most), changes[-1]) for changes in kinds
    ]
    vllm = search(_all_of(needed, situation))
    if vllm is None or not _better(vllm, than):
        return
    for changes, most in zip(kinds, list(needed), strict=True):
        # Drop a change that the others do not need; else look for the smallest that suffices.
        others = [other for other in needed if other is not most]
        if _allows(vllm, others, situation, search):
            needed = others
            continue
        sufficient = (
            change for change in changes if _allows(vllm, [*others, change], situation, search)
        )
        needed[needed.index(most)] = next(sufficient, most)
    if len(needed) > 1:
        words = f"{', '.join(change.words for change in needed[:-1])} and {needed[-1].words}"
        yield f"{words} together would allow vLLM {vllm.name}"


def _allows(
    vllm: ExpectedVllm, changes: list[HostChange], situation: Situation, search: Search
) -> bool:
    result = search(_all_of(changes, situation))
    return (
        result is not None and result.version == vllm.version and result.memory_gb >= vllm.memory_gb
    )


def _all_of(changes: list[HostChange], situation: Situation) -> Situation:
    for change in changes:
        situation = change.apply(situation)
    return situation


def _drivers(situation: Situation, catalogue: Catalogue) -> Iterator[HostChange]:
    """Yield the first driver of each CUDA major, or the last branch that supports the GPUs."""
    if not situation.gpus:
        return
    limits = [
        limit for limit in catalogue.drivers if any(gpu.cc == limit.cc for gpu in situation.gpus)
    ]
    least = max((limit.first or 0 for limit in limits), default=0)
    last = min((limit.last for limit in limits if limit.last), default=None)
    driver, where = situation.driver or "0", _driver_comes_from(situation)
    # The driver has dropped a GPU: only an older branch helps.
    if last and numbers(driver)[:1] > (last,):
        yield HostChange(
            words=f"driver branch {last}{where}", apply=partial(replace, driver=f"{last}.0")
        )
        return
    if any(limit.open_only for limit in limits) and situation.driver_flavour == "proprietary":
        yield HostChange(
            words="the same driver with the open kernel modules",
            apply=partial(replace, driver_flavour="open"),
        )
    candidates = {max(row.driver, f"{least}.0", key=numbers) for row in catalogue.cuda_major}
    for candidate in sorted(candidates, key=numbers):
        if not reaches(driver, candidate) and not (last and numbers(candidate)[0] > last):
            yield HostChange(
                words=f"driver {candidate.removesuffix('.0')} or newer{where}",
                apply=partial(replace, driver=candidate, driver_flavour="open"),
            )


def _driver_comes_from(situation: Situation) -> str:
    if situation.wsl:
        return " in Windows"
    if all(gpu.integrated for gpu in situation.gpus):
        return " (with a newer JetPack or DGX OS)"
    return ""


def _pythons(situation: Situation, catalogue: Catalogue) -> Iterator[HostChange]:
    if situation.settings.python != "auto":
        return
    # torch's wheels show which Pythons exist for vLLM.
    known = {int(cpython[3:]) for row in catalogue.torch for cpython in row.cpython}
    known -= {max(known)}  # some dependency always lacks a wheel for the newest Python
    pythons = [f"3.{number}" for number in sorted(known, reverse=True)]
    for python in sorted(pythons, key=lambda python: python != FETCHED_PYTHON):
        if python not in situation.pythons:
            how = (
                f"uv downloads it: --set python={python}"
                if situation.sources["github"]
                else "install it"
            )
            yield HostChange(
                words=f"Python {python} ({how})",
                apply=partial(replace, pythons=(python,)),
                suits_most=python == FETCHED_PYTHON,
            )


def _glibcs(situation: Situation, catalogue: Catalogue) -> Iterator[HostChange]:
    for_gpus = bool(situation.gpus)
    glibcs = {
        build.glibc
        for row in catalogue.vllm
        for build in row.builds
        if bool(build.cuda) == for_gpus
    }
    for glibc in sorted(glibcs, key=numbers):
        # On musl no version of glibc can be installed beside it.
        if not situation.missing_glibc and not reaches(situation.glibc, glibc):
            yield HostChange(
                words=f"glibc {glibc} (a newer distribution, or a container)",
                apply=partial(replace, glibc=glibc),
            )


def _sources(situation: Situation, _: Catalogue) -> Iterator[HostChange]:
    # Sources ruled out by settings and silent ones need different words.
    closed = [name for name, answers in situation.sources.items() if not answers]
    ruled_out = [name for name in closed if getattr(situation.settings.sources, name) is False]
    silent = [name for name in closed if name not in ruled_out]
    words = " and ".join(
        text
        for text, names in [
            (f"allowing {_named(ruled_out)} in the settings", ruled_out),
            (f"access to {_named(silent)} (or mirrors)", silent),
        ]
        if names
    )
    if words:
        yield HostChange(
            words=words, apply=partial(replace, sources=dict.fromkeys(situation.sources, True))
        )


_KINDS: tuple[Kind, ...] = (_drivers, _pythons, _glibcs, _sources)


def _named(names: Collection[str]) -> str:
    *most, last = [words for name, words in SOURCE_NAMES.items() if name in names] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def without_settings(situation: Situation, search: Search) -> Iterator[str]:
    """Yield the vLLM that this host gets without the fewest settings that stand in the way."""
    plain = Settings()
    narrowed = [
        name for name in NARROWING if getattr(situation.settings, name) != getattr(plain, name)
    ]
    # Fewest settings first: the first size with a result is the advice.
    for size in range(1, len(narrowed) + 1):
        results = [
            (names, search(without(names, situation, plain)))
            for names in combinations(narrowed, size)
        ]
        yield from (
            f"without {in_words(names, situation.settings)} in the settings this host gets vLLM"
            f" {vllm.name}"
            for names, vllm in results
            if vllm
        )
        if any(vllm for _, vllm in results):
            return


def without(names: tuple[str, ...], situation: Situation, plain: Settings) -> Situation:
    """Return the situation with these settings as in `plain`."""
    settings = replace(situation.settings, **{name: getattr(plain, name) for name in names})
    return replace(
        situation,
        settings=settings,
        pythons=situation.host_pythons if "python" in names else situation.pythons,
    )


def in_words(names: Iterable[str], settings: Settings) -> str:
    """Return settings as text: `vllm: 0.32.0` and `cuda: 13.0`."""
    return " and ".join(f"`{name}: {getattr(settings, name)}`" for name in names)


def forward_compatibility(
    situation: Situation, catalogue: Catalogue, than: ExpectedVllm | None, search: Search
) -> Iterator[str]:
    """Yield the advice of cuda-compat packages, for data-centre GPUs with an old driver."""
    models = [find(gpu.name, catalogue.gpus) for gpu in situation.gpus]
    newest = max(catalogue.cuda_major, key=lambda row: int(row.major))
    # cuda-compat replaces only the user part of a driver that is too old.
    if (
        (situation.driver is None or reaches(situation.driver, newest.driver))
        or against_driver(situation, catalogue)
        or not all(model and model.data_center for model in models)
    ):
        return
    vllm = search(replace(situation, driver=newest.driver))
    if vllm and _better(vllm, than):
        yield (
            f"on data-centre GPUs NVIDIA's cuda-compat packages run CUDA {newest.major} with some"
            " older driver branches:"
            " see NVIDIA's forward-compatibility table; a plan never relies on them"
        )
