"""Plans from recordings of working and broken hosts; a silent GPU never leads to a CPU plan."""

from __future__ import annotations

from typing import Any

import pytest

from provision.doors.reading import Reading
from provision.errors import IncompleteHost, WrongSetting
from provision.host import _gpus_of_the_kernel as kernel
from provision.plan._model import Unsupported
from tests.plan.recordings import (
    BARE,
    BUS,
    CPUINFO,
    LOGIN_NODE,
    MISMATCH,
    MODULE,
    NAMES,
    NVML,
    PROC,
    PYTHONS,
    SCHEDULER,
    SMI_OF_WINDOWS,
    SOURCES,
    gpu,
    no_plan,
    on_the_bus,
    plan,
    with_gpus,
)

H100 = with_gpus(gpu(0), gpu(1))
SLOW = Reading(outcome="timed out", detail="NVML did not answer within 10 s")
GETCONF, LDD = "command getconf GNU_LIBC_VERSION", "command ldd --version"
NO_GETCONF = Reading(outcome="failed", detail="getconf: GNU_LIBC_VERSION: unknown variable")
MUSL = {
    GETCONF: NO_GETCONF,
    LDD: Reading(outcome="failed", text="musl libc (x86_64)\nVersion 1.2.4\n"),
}


def reasons(made: Unsupported) -> str:
    return "\n".join(reason for group in made.unsupported for reason in group.reasons)


def version(made: Any, package: str = "vllm") -> str:
    return str(made.packages[package].version)


def test_a_whole_host() -> None:
    made = plan(H100)
    assert (made.profile, made.cuda, made.python, made.gpus.used) == (
        "cuda",
        "13.0",
        "3.12",
        ("0", "1"),
    )
    assert version(made) == "0.33.0"
    assert made.warnings == ()


def test_a_gpu_on_the_bus_without_a_driver_is_named_with_the_driver_that_it_needs() -> None:
    made = no_plan({**BARE, BUS: on_the_bus("0000:17:00.0")})
    assert (
        "0000:17:00.0 H100 SXM5 80GB: no driver is loaded; it needs NVIDIA driver 580 or newer"
        in reasons(made)
    )
    assert "install NVIDIA driver 580 or newer" in made.advice[0]
    assert "vllm-ready never installs a driver" in made.advice[0]


def test_an_old_gpu_without_a_driver_needs_the_last_branch_that_knows_it() -> None:
    text = reasons(no_plan({**BARE, BUS: on_the_bus("0000:2a:00.0", "10DE:1DB6", "nouveau")}))
    assert "Tesla V100 PCIe 32GB: bound to the nouveau driver, which cannot run CUDA" in text
    assert "branch 580, the last for it" in text


def test_an_unknown_nvidia_device_does_not_lead_to_a_cpu_plan() -> None:
    made = no_plan({**BARE, BUS: on_the_bus("0000:17:00.0", "10DE:FFFE")})
    assert "an unknown NVIDIA GPU (fffe)" in reasons(made)
    assert "install NVIDIA driver 580 or newer" in made.advice[0]


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {BUS: on_the_bus("0000:17:00.0", bound_to="nvidia")},
        {
            PROC: {
                "/proc/driver/nvidia/gpus/0000:17:00.0/information": "Model: \t NVIDIA H100 80GB HBM3\n"
            }
        },
    ],
    ids=["nothing else", "on the bus", "in the kernel's list"],
)
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (MISMATCH, "NVML error 18"),
        (SLOW, "NVML did not answer within 10 s"),
        (
            Reading(outcome="failed", detail="the child that reads NVML was ended by SIGSEGV"),
            "SIGSEGV",
        ),
        (
            Reading(outcome="refused", detail="NVML error 4: Insufficient Permissions"),
            "Insufficient Permissions",
        ),
    ],
    ids=["version mismatch", "timed out", "crashed", "no permission"],
)
def test_an_nvml_that_does_not_answer_is_never_the_cpu_and_never_a_plan(
    seen: dict[str, Any], answer: Reading, says: str
) -> None:
    made = no_plan({**BARE, MODULE: "580.65.06\n", NVML: answer, **seen})
    assert says in reasons(made)
    assert "dmesg" in made.advice[-1]


def test_a_version_mismatch_says_which_versions_and_what_helps() -> None:
    made = no_plan({**BARE, MODULE: "580.65.06\n", NVML: MISMATCH})
    assert "library is 580.95.05 but the loaded module is 580.65.06" in "\n".join(made.advice)
    assert "reboot" in made.advice[0]


def test_the_cpu_of_a_host_with_a_broken_driver_is_used_on_request() -> None:
    made = plan({**BARE, MODULE: "580.65.06\n", NVML: MISMATCH}, "profile=cpu")
    assert (made.profile, made.cuda) == ("cpu", None)
    assert any("reboot" in warning for warning in made.warnings)


def test_a_slurm_login_node_gets_a_cpu_plan_only_on_request() -> None:
    login = {**BARE, SCHEDULER: LOGIN_NODE}
    assert "Slurm login node without a GPU" in reasons(no_plan(login))
    assert "--set profile=cpu" in reasons(no_plan(login))
    assert plan(login, "profile=cpu").profile == "cpu"
    assert (
        plan({**login, "probe environment": {"variables": {}, "set": ["SLURM_JOB_ID"]}}).profile
        == "cpu"
    )


def test_no_gpu_at_all_is_the_cpu() -> None:
    made = plan(BARE)
    assert (made.profile, made.gpus.used) == ("cpu", ())
    assert version(made) == "0.33.0+cpu"


def test_wsl_with_nothing_but_the_tool_of_windows() -> None:
    row = "0, NVIDIA GeForce RTX 4090, 00000000:01:00.0, 576.02, 24564, Enabled, [N/A]"
    release = {"file /proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"}
    made = plan({**BARE, **release, SMI_OF_WINDOWS: row})
    assert (version(made), made.gpus.used) == ("0.32.0+cu129", ("0",))
    assert "NVML does not answer, the GPUs are as nvidia-smi lists them" in made.warnings


ORIN = {
    **BARE,
    "command uname -m": "aarch64\n",
    kernel.BOARD.key: "NVIDIA Jetson AGX Orin Developer Kit\0",
    kernel.TEGRA.key: "# R36 (release), REVISION: 4.3\n",
    kernel.MEMORY.key: "MemTotal:       64349144 kB\n",
}


def test_a_jetson_orin_has_no_published_code() -> None:
    made = no_plan({**ORIN, MODULE: "540.4.0\n"})
    assert "(8.7): no published torch for aarch64 has code for it" in reasons(made)
    assert any(hint.startswith("vLLM for Jetson:") for hint in made.advice)


def test_a_jetson_without_a_driver_gets_no_advice_to_install_a_server_driver() -> None:
    made = no_plan(ORIN)
    assert "Jetson AGX Orin Developer Kit: no NVIDIA driver answers" in reasons(made)
    assert "JetPack" in made.advice[0]
    assert "580" not in made.advice[0]


SLICES = [
    {"index": 0, "name": "NVIDIA A100-SXM4-80GB MIG 3g.40gb", "memory": 42_000_000_000},
    {"index": 1, "name": "NVIDIA A100-SXM4-80GB MIG 1g.10gb", "memory": 10_000_000_000},
]
CUT = gpu(0, "NVIDIA A100-SXM4-80GB", "8.0", mig=True, slices=SLICES)


def test_each_mig_slice_is_a_gpu_of_its_own() -> None:
    made = plan(with_gpus(CUT, gpu(1)))
    assert made.gpus.used == ("0:0", "0:1", "1")
    assert [choice.gpu for choice in made.attention] == ["0:0", "0:1", "1"]
    assert any("GPU 0:0, 0:1: MIG slices" in warning for warning in made.warnings)
    assert plan(with_gpus(CUT, gpu(1)), 'gpus=["0:1"]').gpus.used == ("0:1",)


def test_a_slice_counts_with_its_own_memory() -> None:
    # 39 + 9 GB of slices against 32 GB of a V100, which the newest vLLM does not run on
    old = gpu(1, "Tesla V100-SXM2-32GB", "7.0", memory=34_359_738_368)
    assert plan(with_gpus(CUT, old)).gpus.used == ("0:0", "0:1")
    small = gpu(0, "NVIDIA A100-SXM4-80GB", "8.0", mig=True, slices=SLICES[1:])
    assert plan(with_gpus(small, old)).gpus.used == ("0:1", "1")


def test_a_gpu_split_by_mig_cannot_be_requested_as_a_whole() -> None:
    with pytest.raises(WrongSetting, match="there is no GPU 0"):
        plan(with_gpus(CUT), "gpus=[0]")


def test_mig_without_a_slice_leaves_the_gpu_out() -> None:
    empty = gpu(0, "NVIDIA A100-SXM4-80GB", "8.0", mig=True)
    assert "MIG is enabled and has no instance" in reasons(no_plan(with_gpus(empty)))
    made = plan(with_gpus(empty, gpu(1)))
    assert made.gpus.used == ("1",)
    assert [(gpu.id, "has no instance" in gpu.reason) for gpu in made.gpus.excluded] == [
        ("0", True)
    ]


def test_a_virtual_gpu_is_used_with_a_warning() -> None:
    made = plan(with_gpus(gpu(0, "GRID T4-16Q", "7.5", memory=17_179_869_184)))
    assert made.gpus.used == ("0",)
    assert any("GPU 0: a virtual GPU" in warning for warning in made.warnings)


@pytest.mark.parametrize("host", [H100, BARE], ids=["gpu", "cpu"])
def test_musl_is_the_reason_and_a_container_the_advice(host: dict[str, Any]) -> None:
    made = no_plan({**host, **MUSL})
    assert "musl libc 1.2.4: vLLM's wheels need glibc" in reasons(made)
    assert "container" in made.advice[0]
    assert not any("profile=cpu" in advice for advice in made.advice)


def cpuinfo(flags: str) -> str:
    return (
        "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz\nflags\t\t:"
        f" {flags}\n"
    )


def test_a_cpu_without_avx2_cannot_run_the_cpu_build() -> None:
    assert "its kernels need AVX2, which this CPU lacks" in reasons(
        no_plan({**BARE, CPUINFO: cpuinfo("fpu sse4_2 avx")})
    )
    assert plan({**BARE, CPUINFO: cpuinfo("fpu sse4_2 avx avx2")}).profile == "cpu"


def test_no_source_answers() -> None:
    silent = {
        SOURCES: {
            name: {"answers": False, "detail": "Temporary failure in name resolution"}
            for name in NAMES
        }
    }
    for host in (H100, BARE):
        made = no_plan({**host, **silent})
        assert "answer" in reasons(made)
        assert "PyPI: Temporary failure in name resolution" in reasons(made)
        assert "access to" in made.advice[0]


def test_unprobed_sources_of_a_recording_count_as_available() -> None:
    asked = {key: value for key, value in H100.items() if key != SOURCES}
    assert version(plan(asked)) == "0.33.0"


def test_a_host_without_python_gets_a_downloaded_one_and_a_warning() -> None:
    made = plan({**H100, PYTHONS: []})
    assert made.python == "3.12"
    assert any(
        "Python 3.12 is missing on this host; uv downloads it" in warning
        for warning in made.warnings
    )
    assert plan({**H100, PYTHONS: ['{"version": "2.7.18"}']}).warnings == made.warnings


def test_pythons_that_are_no_releases_are_read_by_their_minor_version() -> None:
    answers = [
        '{"version": "3.14.0rc1", "path": "/a"}',
        '{"version": "3.9.2", "path": "/b"}',
        '{"version": "3"}',
    ]
    made = plan({**H100, PYTHONS: answers})
    assert made.python == "3.14"


def test_what_a_recording_lacks_is_named() -> None:
    without = {
        key: value
        for key, value in H100.items()
        if key not in ("command uname -m", PYTHONS, GETCONF)
    }
    with pytest.raises(IncompleteHost, match=r"machine.*python") as caught:
        plan(without)
    assert "./setup.sh host -o FILE" in caught.value.hint


def test_sources_of_the_driver_that_disagree_are_a_warning_in_the_plan() -> None:
    made = plan(
        {
            **H100,
            "file /proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.10.01  x\n",
        }
    )
    assert any(
        "says driver 580.65.06" in warning and "570.10.01" in warning for warning in made.warnings
    )


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        ("/data/envs", (), ""),
        (
            "/data/my envs",
            (),
            "torch.compile fails below /data/my envs, since it passes paths with a space",
        ),
        ("/data/envs", ("noexec",), "nothing can be installed in /data/envs (mounted noexec)"),
    ],
)
def test_a_prefix_in_which_things_will_fail_is_warned_of(
    path: str, options: tuple[str, ...], says: str
) -> None:
    size = 500 * 2**30
    disk = {
        "path": path,
        "exists": True,
        "writable": True,
        "type": "ext4",
        "total": size,
        "free": size,
    }
    host = with_gpus(gpu()) | {"probe disks": {"prefix": {**disk, "options": options}}}
    warnings = "\n".join(plan(host).warnings)
    assert says in warnings
    assert ("/data" in warnings) == bool(says)
