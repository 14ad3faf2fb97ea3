"""_gpu_memory: memory that a server left behind, apart from that of other processes."""

from __future__ import annotations

from checks import _gpu_memory

SAID = {
    "--query-gpu=uuid,memory.used": [["GPU-a", "5000"], ["GPU-b", "40"], ["MIG-c", "[N/A]"]],
    "--query-compute-apps=gpu_uuid,used_memory": [
        ["GPU-a", "3000"],
        ["GPU-a", "1500"],
        ["GPU-x", "7"],
    ],
}


def test_memory_of_living_processes_is_accounted_for() -> None:
    assert _gpu_memory.unaccounted(SAID.__getitem__) == {"GPU-a": 500, "GPU-b": 40}


def test_without_a_driver_there_is_no_answer() -> None:
    assert not _gpu_memory.unaccounted(lambda _: [])
    assert not _gpu_memory.describe_growth({}, wait_s=0)


def test_memory_that_stays_is_named() -> None:
    text = _gpu_memory.describe_growth(
        {"GPU-a": 50, "GPU-b": 40}, lambda: {"GPU-a": 1050, "GPU-b": 100}, wait_s=0
    )
    assert text == "GPU-a holds 1000 MiB more than before, and no living process has it"


def test_memory_that_is_given_back_late_is_not() -> None:
    later = iter([{"GPU-a": 1500}, {"GPU-a": 50}])
    assert not _gpu_memory.describe_growth({"GPU-a": 50}, lambda: next(later))


def test_growth_of_an_invisible_process_is_not_blamed_on_the_server() -> None:
    assert not _gpu_memory.describe_growth({"GPU-a": 900}, lambda: {"GPU-a": 1500}, wait_s=0)
