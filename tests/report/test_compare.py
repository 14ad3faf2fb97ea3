"""Runs that differ in one thing: the comparison names exactly that, and ignores noise."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.host import record
from provision.report import diff_as_text
from provision.report._comparison import Comparison
from provision.report._gpu_names import match, rename
from provision.report.compare import compare, regressions
from tests.report.runs import GPU, LINK, Document, check, document, figure, measured, read, word

MOVING = record.moving_parts()
Alter = Callable[[Document], Any]


def facts(of: Document) -> Document:
    host_facts: Document = of["host"]["facts"]
    return host_facts


def compared(before: Document, after: Document) -> Comparison:
    return compare(read(before), read(after), MOVING)


def subjects(comparison: Comparison) -> set[str]:
    return {change.subject for change in (*comparison.causes, *comparison.effects)}


def new_driver(of: Document) -> None:
    for field in ("version", "on_disk", "library"):
        facts(of)["driver"][field] = "580.65"
    facts(of)["nvml"]["cuda"] = "13.0"
    facts(of)["fabric_manager"]["version"] = "580.65"


def new_kernel(of: Document) -> None:
    facts(of)["kernel"] = "6.8.0-45-generic"
    facts(of)["kernel_modules"].append({"kernel": "6.8.0-45-generic", "nvidia": True})


def lose_gpu(of: Document, at: int) -> None:
    """Lose a GPU: the driver renumbers those behind it; plan, checks and figures cover the rest."""
    all_facts = facts(of)
    all_facts["gpu_links"]["pairs"] = []
    for name in ("gpus", "pci_gpus", "gpu_clocks", "gpu_memory_errors", "gpu_throttling"):
        del all_facts[name][at]
        for i, element in enumerate(all_facts[name]):
            if "id" in element:
                element["id"] = str(i)
    left = of["gpus"] = of["plan"]["gpus"]["used"] = ["0"]
    of["plan"]["attention"] = [
        choice for choice in of["plan"]["attention"] if choice["gpu"] in left
    ]
    of["figures"] = [
        figure_ for figure_ in of["figures"] if figure_["of"].get("on", "GPU 0") == "GPU 0"
    ]
    for check_ in of["checks"]:
        check_["gpus"] = [gpu for gpu in check_["gpus"] if gpu in left]
        check_["measured"] = sum(figure_["check"] == check_["name"] for figure_ in of["figures"])


def lose_gpu_and_slow_down(of: Document) -> None:
    """Lose a GPU and slow down the other one, which has a new number."""
    lose_gpu(of, 0)
    remeasured("speed_matmul", "GPU 0", 3 / 7)(of)


def lose_gpu_and_take_another_backend(of: Document) -> None:
    lose_gpu(of, 0)
    of["plan"]["attention"][0]["backend"] = "FLASHINFER"
    figure(of, "attention_backend", "GPU 0").update(value="FLASHINFER")


def add_gpu(of: Document) -> None:
    all_facts = facts(of)
    all_facts["gpus"].append({**GPU, "id": "2", "bus_id": "0000:19:00.0", "link": dict(LINK)})
    all_facts["pci_gpus"].append(
        {"bus_id": "0000:19:00.0", "device_id": "2330", "driver": "nvidia"}
    )
    all_facts["gpu_clocks"].append({**all_facts["gpu_clocks"][0], "id": "2"})
    all_facts["gpu_links"]["pairs"].append({"a": "0", "b": "2", "kind": "NV18"})


def mig(of: Document) -> None:
    facts(of)["gpus"][1].update(
        mig=True, slices=[{"id": "1:0", "profile": "1g.10gb", "memory_gb": 9.8}]
    )


def ends(name: str, outcome: str) -> Alter:
    return lambda of: check(of, name).update(outcome=outcome, summary="because")


def remeasured(check_name: str, on: str, by: float, spread: float = 0.009) -> Alter:
    def alter(of: Document) -> None:
        figure_ = figure(of, check_name, on)
        figure_.update(
            measured(check_name, figure_["name"], figure_["of"], figure_["value"] * by, spread)
        )

    return alter


def without_check(of: Document) -> None:
    of["checks"] = [check_ for check_ in of["checks"] if check_["name"] != "shm"]


def without_promise(of: Document) -> None:
    without_check(of)
    for names in (of["plan"]["checks"], of["promised"]):
        names.remove("shm")


def promise_more(of: Document) -> None:
    for names in (of["plan"]["checks"], of["promised"]):
        names.append("xids")
    of["checks"].append({**check(of, "shm"), "name": "xids"})


def other_backend(of: Document) -> None:
    for choice in of["plan"]["attention"]:
        choice["backend"] = "FLASHINFER"


def flash_attn_gone(of: Document) -> None:
    of["plan"]["flash_attn"]["mode"] = "none"
    of["plan"]["packages"]["flash-attn"] = None
    del of["packages"]["flash-attn"]


def drop_figure(of: Document) -> None:
    of["figures"].remove(figure(of, "speed_matmul", "GPU 1"))
    check(of, "speed_matmul")["measured"] = 1


def other_wheels_for_other_python(of: Document) -> None:
    of["plan"]["python"] = "3.13"
    for package in of["packages"].values():
        package["sha256"] = "f" * 16


ATTENTION = "speed_attention attention (on GPU {}, pass forward, tokens 4096, way FLASH_ATTN)"
PAIRS: dict[str, tuple[Alter, set[str]]] = {
    "a package's version": (
        lambda of: of["packages"]["numpy"].update(version="2.3.0", sha256="ee"),
        {"numpy"},
    ),
    "a wheel's file": (lambda of: of["packages"]["torch"].update(sha256="ee"), {"torch 2.13.0"}),
    "a new package": (lambda of: of["packages"].update(einops={"version": "0.8"}), {"einops"}),
    "a package gone": (lambda of: of["packages"].pop("triton"), {"triton"}),
    "driver": (new_driver, {"driver"}),
    "no driver": (
        lambda of: facts(of).update(driver={"type": "Missing", "why": "absent"}),
        {"driver"},
    ),
    "driver for the next boot": (
        lambda of: facts(of)["driver"].update(on_disk="580.65"),
        {"driver on_disk"},
    ),
    "kernel": (new_kernel, {"kernel"}),
    "Python": (other_wheels_for_other_python, {"Python"}),
    "vllm-ready": (lambda of: of.update(tool="0.2.0"), {"vllm-ready"}),
    "the last GPU lost": (lambda of: lose_gpu(of, 1), {"GPU 1"}),
    "the first GPU lost": (lambda of: lose_gpu(of, 0), {"GPU 0"}),
    "a new GPU": (add_gpu, {"GPU 2"}),
    "another GPU": (lambda of: facts(of)["gpus"][1].update(name="NVIDIA H200"), {"GPU 1 name"}),
    "a PCIe lane lost": (
        lambda of: facts(of)["gpus"][1]["link"].update(width=8),
        {"GPU 1 link width"},
    ),
    "a variable": (
        lambda of: facts(of)["environment"].update(NCCL_P2P_DISABLE="1"),
        {"environment NCCL_P2P_DISABLE"},
    ),
    "a variable's value": (
        lambda of: facts(of)["environment"].update(NCCL_DEBUG="INFO"),
        {"environment NCCL_DEBUG"},
    ),
    "power limit": (
        lambda of: [clocks.update(power_w=500.0) for clocks in facts(of)["gpu_clocks"]],
        {"GPU 0, 1 power_w"},
    ),
    "clocks held": (
        lambda of: facts(of)["gpu_clocks"][0].update(application=1200),
        {"GPU 0 application"},
    ),
    "memlock": (
        lambda of: facts(of)["limits"]["memlock"].update(soft=65536, hard=65536),
        {"limits memlock"},
    ),
    "disk total": (
        lambda of: facts(of)["disks"]["prefix"].update(total_gb=450.0),
        {"disks prefix total_gb"},
    ),
    "a processor's flag": (
        lambda of: facts(of)["cpu"].update(flags=["avx2"]),
        {"cpu flags avx512f"},
    ),
    "MIG": (mig, {"GPU 1"}),
    "ECC errors": (
        lambda of: facts(of)["gpu_memory_errors"][1].update(uncorrected=3),
        {"GPU 1 memory errors uncorrected"},
    ),
    "Xid": (
        lambda of: facts(of)["xids"].append({"bus_id": "0000:18:00.0", "xid": 79, "text": "off"}),
        {"GPU 1 xids"},
    ),
    "throttling": (
        lambda of: facts(of)["gpu_throttling"][0].update(reasons=["idle", "hardware slowdown"]),
        {"GPU 0 throttling reasons hardware slowdown"},
    ),
    "NVLink lost": (
        lambda of: facts(of)["gpu_links"]["pairs"][0].update(kind="SYS"),
        {"gpu links pairs GPU 0 - GPU 1 kind"},
    ),
    "slower on one GPU": (remeasured("speed_attention", "GPU 1", 0.88), {ATTENTION.format(1)}),
    "slower on both": (
        lambda of: [remeasured("speed_attention", f"GPU {gpu}", 0.88)(of) for gpu in "01"],
        {ATTENTION.format(0), ATTENTION.format(1)},
    ),
    "faster": (remeasured("speed_attention", "GPU 0", 1.2), {ATTENTION.format(0)}),
    "another planned backend": (other_backend, {"attention backend of GPU 0, 1"}),
    "another backend taken": (
        lambda of: figure(of, "attention_backend", "GPU 0").update(value="TRITON_ATTN"),
        {"attention_backend backend (on GPU 0)"},
    ),
    "other tokens": (
        lambda of: figure(of, "vllm_generates").update(value="17 4 99 7"),
        {"vllm_generates tokens (model tiny)"},
    ),
    "skips now": (ends("collectives", "skip"), {"collectives"}),
    "fails now": (ends("vllm_serves", "fail"), {"vllm_serves"}),
    "warns now": (ends("shm", "warn"), {"shm"}),
    "errors now": (ends("matmul", "error"), {"matmul"}),
    "a check not tried": (without_check, {"shm"}),
    "a promise removed": (without_promise, {"shm"}),
    "a promise added": (promise_more, {"xids"}),
    "fewer GPUs tried": (lambda of: check(of, "matmul").update(gpus=["0"]), {"matmul"}),
    "flash-attn": (flash_attn_gone, {"flash-attn"}),
    "CUDA": (lambda of: of["plan"].update(cuda="13.0"), {"CUDA"}),
    "out of memory": (
        lambda of: figure(of, "speed_matmul", "GPU 0").update(
            value="out of memory", unit="", samples=[], repeats=0
        ),
        {"speed_matmul matmul (on GPU 0, type bfloat16)"},
    ),
    "a sample lost": (
        lambda of: figure(of, "speed_matmul", "GPU 0")["samples"].pop(5),
        {"speed_matmul matmul (on GPU 0, type bfloat16)"},
    ),
    "the first GPU lost, the other slower": (
        lose_gpu_and_slow_down,
        {"GPU 0", "speed_matmul matmul (on GPU 1, type bfloat16)"},
    ),
    "the first GPU lost, the other with another backend": (
        lose_gpu_and_take_another_backend,
        {"GPU 0", "attention backend of GPU 1", "attention_backend backend (on GPU 1)"},
    ),
    "a figure gone": (drop_figure, {"speed_matmul matmul (on GPU 1, type bfloat16)"}),
}


def shuffled(of: Document, seed: int = 0) -> None:
    """Reorder everything whose order means nothing."""
    draw = random.Random(seed)
    for name in ("checks", "figures"):
        draw.shuffle(of[name])
    for name in ("gpus", "gpu_clocks", "pci_gpus"):
        draw.shuffle(facts(of)[name])
    of["packages"] = dict(sorted(of["packages"].items(), reverse=True))
    of["host"]["facts"] = dict(sorted(facts(of).items(), reverse=True))


def drawn(seed: int, spread: float) -> Alter:
    """Return a change that draws new samples of this spread around a slightly moved centre."""

    def alter(of: Document) -> None:
        draw = random.Random(seed)
        for figure_ in of["figures"]:
            if figure_.get("repeats", 0) > 1:
                centre = figure_["value"] * draw.uniform(0.99, 1.01)
                samples = sorted(draw.gauss(centre, centre * spread / 2.56) for _ in range(11))
                figure_.update(samples=samples, value=samples[5])

    return alter


def other_run(of: Document) -> None:
    of.update(
        run="20261102T000000Z-bbbb",
        started="2026-11-02T00:00:00Z",
        seconds=12.0,
        generation="20261102T0-b",
    )


def other_summaries(of: Document) -> None:
    for check_ in of["checks"]:
        check_.update(
            seconds=9.9, summary="in other words", evidence={"max_error": 0.001}, hint="well"
        )


def asleep(of: Document) -> None:
    for gpu, clocks in zip(facts(of)["gpus"], facts(of)["gpu_clocks"], strict=True):
        gpu["link"]["generation"] = 1
        clocks["sm"] = 1980


NOISE: dict[str, Alter] = {
    "nothing": lambda of: None,  # noqa: ARG005 - the contract of a row
    "free memory": lambda of: facts(of)["memory"].update(available_gb=12.5),
    "free disk": lambda of: facts(of)["disks"]["prefix"].update(free_gb=3.25),
    "free shared memory": lambda of: facts(of)["shm"].update(free_gb=0.5),
    "run, times and generation": other_run,
    "seconds and texts of checks": other_summaries,
    "order without a meaning": shuffled,
    "links and clocks at rest": asleep,
    "power cap under load": lambda of: facts(of)["gpu_throttling"][0].update(reasons=["power cap"]),
    "GPU processes": lambda of: facts(of)["gpu_processes"].append(
        {"id": "0", "pid": 7, "name": "python"}
    ),
    "reason for no SELinux": lambda of: facts(of)["selinux"].update(detail="other words"),
    "a single sample a little off": lambda of: figure(of, "vllm_serves").update(
        value=31.0, samples=[31.0]
    ),
    "drawn, 1 %": drawn(1, 0.01),
    "drawn, 3 %": drawn(2, 0.03),
    "drawn, 10 %": drawn(3, 0.10),
    "drawn, 30 %": drawn(4, 0.30),
    "drawn again, 1 %": drawn(5, 0.01),
    "drawn again, 3 %": drawn(6, 0.03),
    "drawn again, 10 %": drawn(7, 0.10),
    "slower by less than two spreads": remeasured("speed_matmul", "GPU 0", 0.93, 0.09),
    "a little slower, however steady": remeasured("speed_matmul", "GPU 0", 0.96, 0.0001),
    "all of it at once": lambda of: [
        alter(of) for alter in (other_run, other_summaries, shuffled, drawn(8, 0.02))
    ],
}


@pytest.mark.parametrize(("alter", "named"), PAIRS.values(), ids=list(PAIRS))
def test_exactly_the_change_is_named(alter: Alter, named: set[str]) -> None:
    before, after = document(), document()
    alter(after)
    shuffled(after)
    comparison, back = compared(before, after), compared(after, before)
    assert subjects(comparison) == named
    assert len(subjects(back)) == len(named)
    assert not [note for note in comparison.notes if not note.startswith("GPU numbers are")]
    assert all(
        change.text in diff_as_text.text(comparison)
        for change in (*comparison.causes, *comparison.effects)
    )


@pytest.mark.parametrize("alter", NOISE.values(), ids=list(NOISE))
def test_noise_is_ignored(alter: Alter) -> None:
    before, after = document(), document()
    drawn(100, 0.02)(before)
    alter(after)
    comparison = compared(before, after)
    assert subjects(comparison) == set()
    assert comparison.unjudged == ()
    assert "no change was recorded" in diff_as_text.text(comparison)


def test_there_are_enough_pairs() -> None:
    assert len(PAIRS) >= 40
    assert len(NOISE) >= 20


def test_effects_are_listed_under_their_only_cause() -> None:
    after = document()
    new_driver(after)
    remeasured("speed_attention", "GPU 1", 475 / 540)(after)
    ends("shm", "warn")(after)
    comparison = compared(document(), after)
    (group,) = comparison.groups
    assert [change.text for change in group.causes] == ["driver 570.124 -> 580.65"]
    assert len(group.effects) == 2
    text = diff_as_text.text(comparison).splitlines()
    assert text[3] == "still verified, but:"
    slower = f"{ATTENTION.format(1)}: slower by 12 %: 540 -> 475 TFLOP/s (spreads 1.1 % and 0.9 %)"
    assert f"  {slower}" in text[4:6]
    assert "driver 570.124 -> 580.65" in text
    assert text[-1] == "everything else is unchanged"


def test_effects_are_listed_under_related_causes() -> None:
    after = document()
    new_driver(after)
    after["packages"]["vllm"].update(version="0.34.0")
    facts(after)["shm"].update(total_gb=0.06)
    for alter in (
        remeasured("speed_matmul", "GPU 0", 0.5),
        ends("vllm_serves", "fail"),
        ends("shm", "fail"),
    ):
        alter(after)
    ends("record_whole", "fail")(after)
    comparison = compared(document(), after)
    blamed = {
        effect.subject: [change.subject for change in group.causes]
        for group in comparison.groups
        for effect in group.effects
    }
    assert blamed == {
        "speed_matmul matmul (on GPU 0, type bfloat16)": ["driver"],
        "vllm_serves": ["driver", "vllm"],
        "shm": ["shm total_gb"],
        "record_whole": ["driver", "shm total_gb", "vllm"],
    }
    assert {change.subject for change in comparison.causes} == {"driver", "vllm", "shm total_gb"}


def test_a_check_is_related_to_the_package_of_its_step() -> None:
    after = document()
    new_driver(after)
    after["packages"]["torch"].update(version="2.14.0")
    after["packages"]["flash-attn"].update(version="2.8.4")
    remeasured("speed_matmul", "GPU 0", 0.5)(after)
    remeasured("speed_attention", "GPU 0", 0.5)(after)
    comparison = compare(read(document()), read(after), MOVING, {"speed_matmul": "torch"})
    blamed = {
        group.effects[0].subject.split()[0]: [change.subject for change in group.causes]
        for group in comparison.groups
    }
    assert blamed == {
        "speed_matmul": ["driver", "torch"],
        "speed_attention": ["driver", "flash-attn"],
    }


def test_two_recordings_of_this_host_are_equal() -> None:
    recordings = [
        record.record(network=False, paths={"prefix": Path.cwd()}, sources={}).facts
        for _ in range(2)
    ]
    first, second = document(), document()
    first["host"]["facts"], second["host"]["facts"] = msgspec.json.decode(
        msgspec.json.encode(recordings)
    )
    late = {
        name
        for of in (first, second)
        for name, fact in facts(of).items()
        if "timed out" in str(fact)
    }
    for of in (first, second):  # on a busy machine
        of["host"]["facts"] = {name: fact for name, fact in facts(of).items() if name not in late}
    comparison = compared(first, second)
    assert not subjects(comparison), comparison.causes
    assert not comparison.notes


def test_effects_without_a_cause_are_named_as_such() -> None:
    after = document()
    ends("vllm_serves", "fail")(after)
    after.update(verdict="not verified", exit_code=1)
    text = diff_as_text.text(compared(document(), after))
    assert "no change of host or environment was recorded, but:" in text


def test_silent_effects_without_a_cause_are_not_repeated() -> None:
    after = document()
    PAIRS["slower on one GPU"][0](after)
    text = diff_as_text.text(compared(document(), after))
    assert text.count("slower by") == 1
    assert text.endswith("no change of host or environment was recorded\n")


@pytest.mark.parametrize(
    "name", ["slower on one GPU", "another planned backend", "other tokens", "warns now"]
)
def test_changes_that_the_same_verdict_hides_come_first(name: str) -> None:
    after = document()
    PAIRS[name][0](after)
    comparison = compared(document(), after)
    assert {change.subject for change in comparison.silent} == PAIRS[name][1]
    assert diff_as_text.text(comparison).splitlines()[3] == "still verified, but:"
    after.update(verdict="not verified", exit_code=1)
    assert not compared(document(), after).silent


@pytest.mark.parametrize(
    ("name", "speaks"),
    [
        ("slower on one GPU", True),
        ("another planned backend", True),
        ("another backend taken", True),
        ("other tokens", True),
        ("warns now", True),
        ("out of memory", True),
        ("faster", False),
        ("a package's version", False),
        ("driver", False),
        ("a promise added", False),
    ],
)
def test_regressions_of_an_upgrade(name: str, speaks: bool) -> None:
    after = document()
    PAIRS[name][0](after)
    comparison = compared(document(), after)
    assert bool(regressions(comparison, 0.1)) is speaks
    if name == "slower on one GPU":
        assert not regressions(comparison, 0.2)


def test_an_empty_field_that_an_older_recording_lacks_is_no_change() -> None:
    before, after = document(), document()
    facts(after)["cpu"]["new"] = None
    assert subjects(compared(before, after)) == subjects(compared(after, before)) == set()
    facts(after)["cpu"]["new"] = 2.0
    assert subjects(compared(before, after)) == {"cpu new"}


@pytest.mark.parametrize("at", [0, 1])
def test_a_lost_gpu_comes_first_and_once(at: int) -> None:
    after = document()
    lose_gpu(after, at)
    comparison = compared(document(), after)
    assert [change.text for change in comparison.silent] == [
        f"GPU {at} gone: NVIDIA H100 80GB HBM3"
    ]
    assert not comparison.effects
    renumbered = "GPU numbers are those of the earlier run; in the later run GPU 1 is GPU 0"
    assert comparison.notes == ((renumbered,) if at == 0 else ())
    assert diff_as_text.text(comparison).splitlines()[3:5] == [
        "still verified, but:",
        f"  {comparison.silent[0].text}",
    ]
    after.update(verdict="not verified", exit_code=1)
    assert not compared(document(), after).silent


def test_slices_and_peers_of_a_gpu_move_with_it() -> None:
    after = document()
    lose_gpu(after, 0)
    after["plan"]["gpus"]["used"] = ["0:1"]
    after["figures"].append(word("peer_copies", "rate", {"from": "GPU 0", "to": "GPU 0:1"}, "x"))
    changed = [change.text for change in compared(document(), after).causes]
    assert changed == ["GPU 0 gone: NVIDIA H100 80GB HBM3", "used GPUs 0, 1 -> 1:1"]
    names = match(facts(document()), facts(after)).names
    assert rename(read(after), names).figures[-1].of == {"from": "GPU 1", "to": "GPU 1:1"}


def test_another_host_is_named_first() -> None:
    after = document()
    after["host"]["id"] = "fedcba9876543210"
    assert (
        diff_as_text.text(compared(document(), after)).splitlines()[2]
        == "the two runs are of different hosts"
    )


def test_checks_that_were_not_tried_are_a_note() -> None:
    after = document()
    after["checks"] = [
        check_ for check_ in after["checks"] if check_["name"] in ("record_whole", "shm")
    ]
    after["promised"], after["figures"] = ["record_whole", "shm"], []
    comparison = compared(document(), after)
    assert subjects(comparison) == set()
    assert comparison.notes[0].startswith(
        "not tried in the later run: attention_backend, collectives"
    )
    assert compared(after, document()).notes[0].startswith("not tried in the earlier run: ")
    del after["host"]["facts"]
    assert "the later run did not record the host" in compared(document(), after).notes


def test_a_single_sample_is_mentioned_but_not_judged() -> None:
    """A first start, or one beside other work, takes several times as long."""
    after = document()
    figure(after, "vllm_serves").update(value=120.0, samples=[120.0])
    comparison = compared(document(), after)
    assert subjects(comparison) == set()
    assert comparison.unjudged == ("vllm_serves start: 30 s -> 120 s",)
    assert (
        "measured only once, so not judged: vllm_serves start: 30 s -> 120 s"
        in diff_as_text.text(comparison)
    )
    figure(after, "vllm_serves").update(value=45.0, samples=[45.0])
    assert not compared(document(), after).unjudged


def test_long_words_are_shown_where_they_differ() -> None:
    before, after = document(), document()
    tokens = " ".join(map(str, range(1000)))
    figure(before, "vllm_generates").update(value=tokens)
    figure(after, "vllm_generates").update(value=tokens.replace(" 500 ", " 501 "))
    (change,) = compared(before, after).effects
    assert len(change.text) < 200
    assert " 500 501 502" in change.text.partition(" -> ")[0]
    assert " 501 501 502" in change.text.partition(" -> ")[2]


def test_control_characters_never_reach_a_terminal() -> None:
    after = document()
    after["packages"]["numpy"].update(version="2\x1b[2J\n3")
    text = diff_as_text.text(compared(document(), after))
    assert "\x1b" not in text
    assert "numpy 2.2.0 -> 2 [2J 3\n" in text


def test_a_hundred_changes_fit_on_one_screen() -> None:
    after = document()
    after["packages"] = {f"p{i}": {"version": "2"} for i in range(100)}
    after["figures"] += [word("vllm_generates", f"w{i}", {}, "x") for i in range(1000)]
    text = diff_as_text.text(compared(document(), after)).splitlines()
    assert len(text) < 50
    assert any("more (all with --json)" in line for line in text)


Facts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "bus_id", "name", "a", "b", "x"]), inner)
    ),
    max_leaves=8,
)
SomeFacts = st.dictionaries(
    st.sampled_from([*sorted(MOVING), "strange"]), Facts, min_size=1, max_size=5
)


@settings(max_examples=150, deadline=None)
@given(before=SomeFacts, after=SomeFacts, seeds=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_random_facts_are_compared_and_mirrored(
    before: Document, after: Document, seeds: tuple[int, int]
) -> None:
    first, second = document(), document()
    first["host"]["facts"], second["host"]["facts"] = before, after
    for of, seed in ((first, seeds[0]), (second, seeds[1])):
        drawn(seed, 0.2)(of)
        remeasured("speed_attention", "GPU 0", 1 - seed / 12)(of)
        list(PAIRS.values())[27 + seed][0](of)
    assert subjects(compared(first, first)) == set()
    there, back = compared(first, second), compared(second, first)
    mirrored = {
        (change.area, change.before, change.after) for change in (*back.causes, *back.effects)
    }
    assert {
        (change.area, change.after, change.before) for change in (*there.causes, *there.effects)
    } == mirrored


def test_an_unreadable_list_is_named_by_its_earlier_elements() -> None:
    altered = document()
    facts(altered)["gpus"] = {"type": "Missing", "why": "timed out"}
    texts = [
        change.text for change in compared(document(), altered).causes if change.subject == "gpus"
    ]
    assert texts == ["gpus GPU 0, GPU 1 -> (timed out)"]
