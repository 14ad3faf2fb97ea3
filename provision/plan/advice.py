"""Advice: what could be changed on the host or in the settings to get something newer, the smallest change first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import combinations

import msgspec
from msgspec.structs import replace

from provision.catalog.rows import Catalogue
from provision.plan.choose_gpus import against_driver
from provision.plan.dead_gpus import lowest_capability
from provision.plan.frame import FETCHED_PYTHON
from provision.plan.identify import find
from provision.plan.situation import SOURCE_NAMES, Situation
from provision.plan.versions import EXACT_CODE_ONLY, newer, numbers, reaches
from provision.settings import Settings


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a host would get: "0.32.0", by its whole name, and on how much GPU memory."""

    version: str
    name: str
    memory_gb: float = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that could be otherwise; `suits_most` where it helps most of its kind without being the last."""

    say: str
    apply: Callable[[Situation], Situation]
    suits_most: bool = False


NARROWING = ("vllm", "torch", "cuda", "gpus", "python")  # the settings that leave less to choose from
Search = Callable[[Situation], Answer | None]
Kind = Callable[[Situation, Catalogue], Iterator[Change]]


def newer_vllm(situation: Situation, catalogue: Catalogue, than: Answer | None, search: Search) -> Iterator[str]:
    """Of each kind of change the smallest that helps, and the next if it gives more; then what helps only together."""
    best = than
    for kind in _KINDS:
        best_of_kind = than
        for change in kind(situation, catalogue):
            found = search(change.apply(situation))
            if found and _better(found, best_of_kind):
                best_of_kind = found
                best = found if _better(found, best) else best
                yield f"{change.say} would allow vLLM {found.name}"
    yield from _together(situation, catalogue, best, search)


def more_gpus(situation: Situation, catalogue: Catalogue, than: Answer, search: Search) -> Iterator[str]:
    """What would take in every GPU, where nothing can as the host is: the smallest change of each kind."""
    everything = replace(situation, settings=replace(situation.settings, gpus="all"))
    for kind in _KINDS:
        answers = ((change, search(change.apply(everything))) for change in kind(everything, catalogue))
        for change, found in answers:
            if found and found.memory_gb > than.memory_gb:
                yield f"{change.say} would run all GPUs, with vLLM {found.name}"
                break


def _better(found: Answer, than: Answer | None) -> bool:
    """Newer, and on no less of the GPU memory: what loses GPUs is no advice."""
    return than is None or (newer(found.version, than.version) and found.memory_gb >= than.memory_gb)


def _together(situation: Situation, catalogue: Catalogue, than: Answer | None, search: Search) -> Iterator[str]:
    """The fewest and smallest changes that give, taken together, more than any of them alone."""
    kinds = [list(kind(situation, catalogue)) for kind in _KINDS]
    kinds = [changes for changes in kinds if changes]
    needed = [_most(changes) for changes in kinds]
    found = search(_all_of(needed, situation))
    if found is None or not _better(found, than):
        return
    for changes, most in zip(kinds, list(needed), strict=True):
        others = [other for other in needed if other is not most]
        if _gives(found, [*others], situation, search):
            needed = others
            continue
        least = next((change for change in changes if _gives(found, [*others, change], situation, search)), most)
        needed[needed.index(most)] = least
    if len(needed) > 1:
        said = f"{', '.join(change.say for change in needed[:-1])} and {needed[-1].say} together"
        yield f"{said} would allow vLLM {found.name}"


def _most(changes: list[Change]) -> Change:
    """What helps most of one kind: the largest change, or the Python that everything has wheels for."""
    return next((change for change in changes if change.suits_most), changes[-1])


def _gives(found: Answer, changes: list[Change], situation: Situation, search: Search) -> bool:
    answer = search(_all_of(changes, situation))
    return answer is not None and answer.version == found.version and answer.memory_gb >= found.memory_gb


def _all_of(changes: list[Change], situation: Situation) -> Situation:
    for change in changes:
        situation = change.apply(situation)
    return situation


def _drivers(situation: Situation, catalogue: Catalogue) -> Iterator[Change]:
    """The first driver of each CUDA major that the GPUs allow; or the last that still knows them."""
    if not situation.gpus:
        return
    limits = [limit for limit in catalogue.drivers if any(gpu.cc == limit.cc for gpu in situation.gpus)]
    least = max((limit.first or 0 for limit in limits), default=0)
    last = min((limit.last for limit in limits if limit.last), default=None)
    driver = situation.driver or "0"
    if last and numbers(driver)[:1] > (last,):
        yield Change(say=f"driver branch {last}", apply=partial(replace, driver=f"{last}.0"))
        return
    if any(limit.open_only for limit in limits) and situation.driver_flavour == "proprietary":
        yield Change(say="the same driver with the open kernel modules", apply=partial(replace, driver_flavour="open"))
    for wanted in sorted({max(row.driver, f"{least}.0", key=numbers) for row in catalogue.cuda_major}, key=numbers):
        if not reaches(driver, wanted) and not (last and numbers(wanted)[0] > last):
            say = f"driver {wanted.removesuffix('.0')} or newer"
            yield Change(say=say, apply=partial(replace, driver=wanted, driver_flavour="open"))


def _pythons(situation: Situation, catalogue: Catalogue) -> Iterator[Change]:
    if situation.settings.python != "auto":
        return
    """First the Python that everything has wheels for, then the others from the newest on."""
    known = {int(cpython[3:]) for row in catalogue.torch for cpython in row.cpython}
    known -= {max(known)}  # something always lacks a wheel for the newest of all
    for python in sorted(
        (f"3.{one}" for one in known), key=lambda one: (one == FETCHED_PYTHON, numbers(one)), reverse=True
    ):
        if python not in situation.pythons:
            how = f"uv fetches it: --set python={python}" if situation.sources["github"] else "to be installed"
            most = python == FETCHED_PYTHON
            yield Change(say=f"Python {python} ({how})", apply=partial(replace, pythons=(python,)), suits_most=most)


def _glibcs(situation: Situation, catalogue: Catalogue) -> Iterator[Change]:
    for_gpus = bool(situation.gpus)
    asked = {build.glibc for row in catalogue.vllm for build in row.builds if bool(build.cuda) == for_gpus}
    for glibc in sorted(asked, key=numbers):
        if not situation.no_glibc and not reaches(situation.glibc, glibc):
            yield Change(
                say=f"glibc {glibc} (a newer distribution, or a container)", apply=partial(replace, glibc=glibc)
            )


def _sources(situation: Situation, _: Catalogue) -> Iterator[Change]:
    closed = [name for name, answers in situation.sources.items() if not answers]
    ruled_out = [name for name in closed if getattr(situation.settings.sources, name) is False]
    silent = [name for name in closed if name not in ruled_out]
    parts = [
        (f"allowing {_named(ruled_out)} in the settings", ruled_out),
        (f"access to {_named(silent)} (or mirrors)", silent),
    ]
    say = " and ".join(text for text, names in parts if names)
    if say:
        yield Change(say=say, apply=partial(replace, sources=dict.fromkeys(situation.sources, True)))


_KINDS: tuple[Kind, ...] = (_drivers, _pythons, _glibcs, _sources)


def _named(names: Collection[str]) -> str:
    *most, last = [said for name, said in SOURCE_NAMES.items() if name in names] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def without_wishes(situation: Situation, search: Search) -> Iterator[str]:
    """What this host would get without the settings that narrow the choice: the fewest that must go."""
    plain = Settings()
    wished = [name for name in NARROWING if getattr(situation.settings, name) != getattr(plain, name)]
    for size in range(1, len(wished) + 1):
        found = [(names, search(_without(names, situation, plain))) for names in combinations(wished, size)]
        yield from (
            f"without {in_words(names, situation.settings)} in the settings this host gets vLLM {answer.name}"
            for names, answer in found
            if answer
        )
        if any(answer for _, answer in found):
            return


def _without(names: tuple[str, ...], situation: Situation, plain: Settings) -> Situation:
    settings = replace(situation.settings, **{name: getattr(plain, name) for name in names})
    pythons = situation.found_pythons if "python" in names else situation.pythons
    return replace(situation, settings=settings, pythons=pythons)


def in_words(names: Iterable[str], settings: Settings) -> str:
    """`vllm: 0.32.0` and `cuda: 13.0`."""
    return " and ".join(f"`{name}: {getattr(settings, name)}`" for name in names)


def forward_compatibility(
    situation: Situation, catalogue: Catalogue, than: Answer | None, search: Search
) -> Iterator[str]:
    """NVIDIA's cuda-compat packages stretch an old driver, on data-centre GPUs that it knows."""
    models = [find(gpu.name, catalogue.gpus) for gpu in situation.gpus]
    newest = max(catalogue.cuda_major, key=lambda row: int(row.major))
    old = situation.driver is not None and not reaches(situation.driver, newest.driver)
    if not old or against_driver(situation, catalogue) or not all(model and model.data_center for model in models):
        return
    found = search(replace(situation, driver=newest.driver))
    if found and _better(found, than):
        yield (
            f"these are data-centre GPUs: NVIDIA's cuda-compat packages carry CUDA {newest.major} on some older driver "
            "branches; no plan counts on it, NVIDIA's forward-compatibility table says for which"
        )


def way_out(situation: Situation, catalogue: Catalogue, search: Search, on_the_cpu: Answer | None) -> Iterator[str]:
    """For a host that can run nothing that was asked for: the nearest thing that would."""
    hints = [*without_wishes(situation, search), *newer_vllm(situation, catalogue, None, search)]
    yield from hints
    yield from forward_compatibility(situation, catalogue, None, search)
    lowest = lowest_capability(catalogue)
    old = sorted({gpu.name for gpu in situation.gpus if gpu.cc and numbers(gpu.cc) < numbers(lowest)})
    if old:
        names = ", ".join(old)
        yield f"{names}: no published vLLM has code for it; it takes a GPU of {lowest} or newer, or a source build"
    if any(gpu.cc in EXACT_CODE_ONLY for gpu in situation.gpus):
        yield "for Jetson boards NVIDIA's Jetson AI Lab publishes its own vLLM wheels and containers"
    if situation.no_glibc:
        yield "a container of a distribution with glibc (Ubuntu, Debian, Rocky) on this host would run vLLM"
    elif not hints and on_the_cpu:
        yield f"the CPU of this host could run a small model with vLLM {on_the_cpu.name}: --set profile=cpu"
