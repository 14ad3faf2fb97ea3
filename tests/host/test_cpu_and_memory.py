"""CPU and memory, from texts of x86_64 and Arm hosts, virtual machines and limited containers."""

from __future__ import annotations

import pytest

from provision.doors.reading import Reading
from provision.host import cpu, memory
from tests.host.recorded import missing, value

CPUINFO, LSCPU, NODES = (
    "file /proc/cpuinfo",
    "command lscpu",
    "files /sys/devices/system/node/node[0-9]*",
)
CPU_GROUP = "probe cgroup_cpu"
MEMINFO, GROUP = "file /proc/meminfo", "probe cgroup_memory"


def xeon(processor: int, socket: int, core: int) -> str:
    return (
        f"processor\t: {processor}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8480C\n"
        f"physical id\t: {socket}\nsiblings\t: 4\ncore id\t\t: {core}\ncpu cores\t: 2\n"
        "flags\t\t: fpu vme sse2 avx avx2 avx512f avx512_bf16 avx512_vnni amx_bf16 amx_tile amx_int8\n\n"
    )


DGX = "".join(
    xeon(n, socket=n % 4 // 2, core=n % 2) for n in range(8)
)  # 2 sockets of 2 cores, 2 threads each
GRACE = "".join(
    f"processor\t: {n}\nBogoMIPS\t: 2000.00\nFeatures\t: fp asimd sve i8mm bf16\nCPU implementer\t: 0x41\n"
    "CPU architecture: 8\nCPU part\t: 0xd4f\n\n"
    for n in range(72)
)


def test_threads_of_one_core_count_once() -> None:
    nodes = {"/sys/devices/system/node/node0": "", "/sys/devices/system/node/node1": ""}
    result = value(cpu.FACT, {CPUINFO: DGX, NODES: nodes})
    assert result == cpu.Cpu(
        model="Intel(R) Xeon(R) Platinum 8480C",
        cores=4,
        flags=("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile"),
        numa_nodes=2,
    )


@pytest.mark.parametrize(
    ("quotas", "quota", "usable"),
    [
        (["max 100000"], None, 4),
        (["-1 100000"], None, 4),  # of the first version
        ([], None, 4),
        (["250000 100000", "max 100000", "300000 100000"], 2.5, 2),
        (["50000 100000"], 0.5, 1),
        (["1600000 100000"], 16.0, 4),
        (["100000 0", "what"], None, 4),
    ],
)
def test_the_tightest_quota_of_group_and_parents_counts(
    quotas: list[str], quota: float | None, usable: int
) -> None:
    result = value(cpu.FACT, {CPUINFO: DGX, CPU_GROUP: {"kind": "cgroup2", "quotas": quotas}})
    assert isinstance(result, cpu.Cpu)
    assert (result.cores, result.quota, result.usable) == (4, quota, usable)


def test_an_arm_processor_is_named_by_lscpu() -> None:
    lscpu = (
        "Architecture:           aarch64\nModel name:             Neoverse-V2\nNUMA node(s):   1\n"
    )
    result = value(cpu.FACT, {CPUINFO: GRACE, LSCPU: lscpu})
    assert result == cpu.Cpu(model="Neoverse-V2", cores=72, flags=None, numa_nodes=None)


def test_an_arm_processor_without_lscpu_has_no_name_and_still_its_cores() -> None:
    result = value(cpu.FACT, {CPUINFO: GRACE, LSCPU: Reading(outcome="absent")})
    assert isinstance(result, cpu.Cpu)
    assert (result.model, result.cores) == (None, 72)


def test_an_old_processor_has_none_of_the_flags() -> None:
    result = value(
        cpu.FACT, {CPUINFO: "processor\t: 0\nmodel name\t: Intel(R) Atom\nflags\t: fpu sse2\n"}
    )
    assert isinstance(result, cpu.Cpu)
    assert result.flags == ()


def test_text_without_a_processor_is_unparsable() -> None:
    assert missing(cpu.FACT, {CPUINFO: "nothing of the kind\n"}).why == "unparsable"


HOST = "MemTotal:       263939672 kB\nMemFree:         1939672 kB\nMemAvailable:   200000000 kB\nBuffers: 1 kB\n"


def limit_of(*texts: str) -> float | None:
    result = value(memory.FACT, {MEMINFO: HOST, GROUP: {"kind": "cgroup2", "limits": list(texts)}})
    assert isinstance(result, memory.Memory)
    return result.limit_gb


def test_memory_of_a_host_without_limits() -> None:
    result = value(memory.FACT, {MEMINFO: HOST, GROUP: Reading(outcome="absent")})
    assert result == memory.Memory(total_gb=251.7, available_gb=190.7, limit_gb=None)


def test_the_tightest_limit_of_group_and_parents_counts() -> None:
    assert limit_of("max", "34359738368", "68719476736", "max") == 32.0


def test_no_limit_is_a_word_in_v2_and_a_huge_number_in_v1() -> None:
    assert limit_of("max", "max") is None
    assert limit_of("9223372036854771712") is None
    assert limit_of() is None


@pytest.mark.parametrize(
    ("limits", "used", "free", "allowed"),
    [
        (
            ["max", "34359738368", "68719476736"],
            [1, 2**30, 60 * 2**30],
            4.0,
            4.0,
        ),  # the parent has others, too
        (["34359738368"], [40 * 2**30], 0.0, 0.0),
        (["34359738368"], [None], None, 32.0),
        (["34359738368"], [], None, 32.0),  # a recording of before
        (["max"], [2**30], None, None),
    ],
)
def test_what_group_and_parents_use_already_is_not_free(
    limits: list[str], used: list[int | None], free: float | None, allowed: float | None
) -> None:
    result = value(
        memory.FACT, {MEMINFO: HOST, GROUP: {"kind": "cgroup2", "limits": limits, "used": used}}
    )
    assert isinstance(result, memory.Memory)
    assert (result.group_free_gb, result.allowed_gb) == (free, allowed)


def test_an_old_kernel_knows_only_free_memory() -> None:
    result = value(memory.FACT, {MEMINFO: "MemTotal: 1048576 kB\nMemFree: 524288 kB\n"})
    assert result == memory.Memory(total_gb=1.0, available_gb=0.5)


def test_memory_of_hundreds_of_digits_is_unparsable() -> None:
    text = f"MemTotal: {'9' * 400} kB\nMemFree: 1 kB\n"
    assert missing(memory.FACT, {MEMINFO: text}).why == "unparsable"


def test_memory_without_a_total_is_unparsable() -> None:
    assert missing(memory.FACT, {MEMINFO: "MemFree: 1 kB\n"}).why == "unparsable"
