"""For hundreds of described hosts a plan is valid by every rule, and no newer one is possible."""

from __future__ import annotations

import random

import msgspec
import pytest

from provision.catalog import rows
from provision.host import from_text
from provision.plan._model import Plan, Unsupported
from provision.session.planning import make_plan
from provision.settings import Settings
from tests.plan.brute_force import Card, Machine, faults, newest

CATALOGUE = rows.load()
KINDS = tuple(
    Card(name=gpu.name, cc=gpu.cc, memory_gb=gpu.memory_gb)
    for gpu in CATALOGUE.gpus
    if gpu.memory_gb
)
OLD_DRIVERS = [
    "450.51.05",
    "450.80.02",
    "470.57.02",
    "470.82.01",
    "515.65.01",
    "520.61.05",
    "525.60.11",
]
CUDA_12_DRIVERS = [
    "525.60.13",
    "535.54.03",
    "560.35.05",
    "570.26",
    "570.86.15",
    "575.51.03",
    "579.99",
]
CUDA_13_DRIVERS = ["580.65.06", "581.0", "590.48.01", "595.45.04", "610.43.02"]
RARE_DRIVERS = OLD_DRIVERS + CUDA_12_DRIVERS + CUDA_13_DRIVERS
COMMON_DRIVERS = ["535.183.01", "550.163.01", "570.172.08", "575.57.08", "580.126.09"]
PYTHONS = [
    "3.8",
    "3.9",
    "3.10",
    "3.10",
    "3.11",
    "3.11",
    "3.12",
    "3.12",
    "3.12",
    "3.13",
    "3.14",
    "3.15",
]
GLIBCS = ["2.17", "2.27", "2.28", "2.31", "2.31", "2.34", "2.35", "2.35", "2.36", "2.39", "2.41"]
SOURCES = (
    frozenset({"pypi"}),
    frozenset({"pypi", "pytorch"}),
    frozenset({"pypi", "vllm", "github"}),
)
EVERY_SOURCE = frozenset({"pypi", "pytorch", "vllm", "github"})


def some_host(seed: int) -> Machine:
    """Return a host with up to three kinds of GPU; two kinds often have half of the memory each."""
    pick = random.Random(seed)
    cards: list[Card] = []
    for _ in range(pick.choice((1, 1, 1, 2, 2, 3))):
        cards += [pick.choice(KINDS)] * pick.choice((1, 1, 2, 4, 8))
    if len(set(cards)) == 2 and pick.random() < 0.4:
        cards = [Card(name=card.name, cc=card.cc, memory_gb=24) for card in cards]
    way = pick.random()
    every = frozenset(range(len(cards)))
    return Machine(
        cards=tuple(cards),
        driver=pick.choice(RARE_DRIVERS if pick.random() < 0.4 else COMMON_DRIVERS),
        python=pick.choice(PYTHONS),
        glibc=pick.choice(GLIBCS),
        machine="aarch64" if pick.random() < 0.15 else "x86_64",
        sources=pick.choice((*SOURCES, EVERY_SOURCE, EVERY_SOURCE, EVERY_SOURCE)),
        requested=every if way < 0.15 else frozenset({len(cards) - 1}) if way < 0.25 else None,
    )


def planned(host: Machine, catalogue: rows.Catalogue = CATALOGUE) -> Plan | Unsupported:
    description = {
        "gpus": [
            {"name": card.name, "cc": card.cc, "memory_gb": card.memory_gb} for card in host.cards
        ],
        "driver": host.driver,
        "python": host.python,
        "glibc": host.glibc,
        "machine": host.machine,
        "sources": {source: source in host.sources for source in EVERY_SOURCE},
    }
    settings = Settings(gpus="auto" if host.requested is None else sorted(host.requested))
    text = msgspec.json.encode(description).decode()
    return make_plan(from_text.parse(text, "host.yaml"), settings, catalogue)


@pytest.mark.parametrize("first", range(0, 300, 25))
def test_every_plan_is_valid_and_the_newest_possible(first: int) -> None:
    for seed in range(first, first + 25):
        host = some_host(seed)
        assert faults(planned(host), host, CATALOGUE) == [], (seed, host)


def test_the_hosts_are_of_every_sort() -> None:
    best = [newest(some_host(seed), CATALOGUE) for seed in range(300)]
    versions = {result[0] for result in best if result}
    assert best.count(None) >= 30
    assert {CATALOGUE.vllm[0].version, "0.32.0", "0.19.1"} <= versions
    assert len(versions) >= 8


H100 = Machine(
    cards=(Card(name="H100 SXM", cc="9.0", memory_gb=80),) * 2,
    driver="580.65.06",
    python="3.12",
    glibc="2.39",
    machine="x86_64",
    sources=EVERY_SOURCE,
)


def test_a_planner_that_misses_the_newest_release_is_caught() -> None:
    without_the_newest = msgspec.structs.replace(CATALOGUE, vllm=CATALOGUE.vllm[1:])
    plan = planned(H100, without_the_newest)
    assert faults(plan, H100, CATALOGUE) == ["the newest possible is 0.33.0"]


def test_a_planner_that_gives_up_is_caught() -> None:
    gave_up = Unsupported(unsupported=(), advice=())
    assert faults(gave_up, H100, CATALOGUE) == ["the newest possible is 0.33.0"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"driver": "579.99"}, "driver for CUDA 13"),
        ({"glibc": "2.28"}, "glibc 2.31"),
        ({"python": "3.10"}, "Python 3.10"),
        ({"sources": frozenset({"vllm", "pytorch"})}, "pypi does not answer"),
        (
            {"cards": (Card(name="V100 SXM2", cc="7.0", memory_gb=32),) * 2},
            "GPU 1: no code in torch",
        ),
        (
            {"cards": (Card(name="B300", cc="10.3", memory_gb=288),) * 3},
            "a GPU is neither used nor excluded",
        ),
    ],
)
def test_a_plan_made_for_another_host_is_caught(change: dict[str, object], fault: str) -> None:
    plan = planned(H100)
    other = Machine(**{**vars(H100), **change})
    assert fault in faults(plan, other, CATALOGUE)


def test_a_plan_that_leaves_out_a_gpu_or_misnames_its_cuda_is_caught() -> None:
    plan = planned(H100)
    assert isinstance(plan, Plan)
    fewer = msgspec.structs.replace(
        plan, gpus=msgspec.structs.replace(plan.gpus, used=("0",)), cuda="12.9"
    )
    assert faults(fewer, H100, CATALOGUE) == [
        "the same release runs more of the GPU memory",
        "a GPU is neither used nor excluded",
        "vLLM's wheel is built for CUDA 13.0",
    ]
