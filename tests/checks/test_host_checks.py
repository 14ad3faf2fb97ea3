"""Host checks over facts: a healthy host passes, a fault fails, an unread fact never passes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from checks._contract import Check, Context, Verdict, unmet_need
from provision.engine import launch_checks
from provision.host import (
    container,
    device_files,
    disks,
    driver,
    fabric_manager,
    from_text,
    gpu_clocks,
    gpu_fabric,
    gpu_links,
    gpu_memory_errors,
    gpu_processes,
    gpu_throttling,
    gpus,
    kernel_modules,
    limits,
    nvml,
    pci_gpus,
    shm,
    xids,
)
from provision.host import scheduler as job_scheduler
from provision.host.record import discover
from tests.checks.twins import twin_of

ROOT = launch_checks.CHECKS.parent
HOST_CHECKS = [check for check in launch_checks.discover() if check.on == "host"]
UNLIMITED = limits.Limit(soft=None, hard=None)
MISSING = {"type": "Missing", "why": "refused", "detail": "only root may look"}


def gpu(number: int, **more: Any) -> gpus.Gpu:
    return gpus.Gpu(
        **{
            "id": str(number),
            "name": "NVIDIA H100 80GB HBM3",
            "cc": "9.0",
            "memory_gb": 79.6,
            "bus_id": f"0000:{0x1A + number:02x}:00.0",
            "mig": False,
            "ecc": True,
            "persistence": True,
            "link": gpus.PcieLink(width=16, width_max=16, generation=5, generation_max=5),
            **more,
        }
    )


def disk(path: str, **more: Any) -> disks.Disk:
    return disks.Disk(**{"path": path, "exists": True, "writable": True, "type": "ext4", "total_gb": 900.0, "free_gb": 400.0, **more})  # fmt: skip


def on_bus(number: int) -> pci_gpus.PciGpu:
    return pci_gpus.PciGpu(
        bus_id=f"0000:{0x1A + number:02x}:00.0", device_id="2330", driver="nvidia"
    )


HEALTHY: dict[str, Any] = {
    "container": container.Container(),
    "device_files": tuple(
        device_files.DeviceFile(path=f"/dev/nvidia{name}", usable=True) for name in ("0", "1", "ctl", "-uvm", "-modeset")
    ),
    "disks": {role: disk(f"/{role}") for role in ("prefix", "tmpdir", "cache", "logs")},
    "driver": driver.Driver(version="580.65.06", on_disk="580.65.06", library="580.65.06", flavour="open"),
    "environment": {"CUDA_VISIBLE_DEVICES": "0,1", "LD_LIBRARY_PATH": "/usr/local/nvidia/lib64", "HF_HOME": "/data"},
    "fabric_manager": fabric_manager.FabricManager(version="580.65.06", running=True, enabled=True),
    "gpu_clocks": tuple(
        gpu_clocks.GpuClocks(id=str(n), sm=1980, sm_max=1980, application=1980, application_default=1980, power_w=700.0, power_default_w=700.0)
        for n in (0, 1)
    ),
    "gpu_fabric": tuple(gpu_fabric.GpuFabric(id=str(n), state="completed") for n in (0, 1)),
    "gpu_links": gpu_links.GpuLinks(pairs=(gpu_links.GpuLink(a="0", b="1", kind="NV18"),), nvswitch=True),
    "gpu_memory_errors": tuple(
        gpu_memory_errors.GpuMemoryErrors(id=str(n), uncorrected=0, uncorrected_ever=1, remap_pending=0, remap_failed=0)
        for n in (0, 1)
    ),
    "gpu_processes": (),
    "gpu_throttling": tuple(gpu_throttling.GpuThrottling(id=str(n), reasons=("idle",)) for n in (0, 1)),
    "gpus": (gpu(0), gpu(1)),
    "kernel_modules": (kernel_modules.InstalledKernel(kernel="6.8.0-100-generic", nvidia=True),),
    "limits": limits.Limits(memlock=UNLIMITED, nofile=UNLIMITED, nproc=UNLIMITED),
    "nvml": nvml.Nvml(state="ok", cuda="13.0"),
    "pci_gpus": (on_bus(0), on_bus(1)),
    "rdma": ("mlx5_0",),
    "scheduler": MISSING,
    "shm": shm.Shm(total_gb=16.0, free_gb=15.9),
    "wsl": False,
    "xids": (xids.Xid(bus_id="0000:1a:00.0", xid=31, text="a program's fault"),),
}  # fmt: skip
ONE_GPU_LEFT = {"gpus": (gpu(0),)}
DOCKER = {"container": container.Container(engine="docker")}


def body(name: str, context: Context) -> Verdict:
    check: Check = importlib.import_module(f"checks.{name}").CHECK
    assert not unmet_need(check.needs, context)
    verdict = check.body(context)
    json.dumps(verdict.evidence, allow_nan=False)
    return verdict


def judged(name: str, earlier: Any = HEALTHY, plan: Any = None, **changed: Any) -> Verdict:
    facts, before = msgspec.to_builtins({**HEALTHY, **changed}), msgspec.to_builtins(earlier)
    context = Context(
        profile="cuda",
        scratch="",
        gpus=("0", "1"),
        facts=json.loads(json.dumps(facts)),
        earlier=before,
        plan=plan or {"disk_mb": 11000},
    )
    return body(name, context)


@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.name)
def test_a_healthy_host_passes(check: launch_checks.CheckDescription) -> None:
    verdict = judged(check.name)
    assert verdict.passed, verdict.summary


TWINS: list[tuple[str, dict[str, Any], str]] = [
    ("driver_agrees", {"driver": driver.Driver(version="580.65.06", library="580.95.05")}, "the loaded kernel module is 580.65.06 and the user-space library 580.95.05"),
    ("driver_agrees", {"driver": driver.Driver(version="580.65.06")}, "its user-space library (libnvidia-ml.so.1) does not answer"),
    ("driver_agrees", {"driver": MISSING}, "driver could not be read (refused: only root may look)"),
    ("nvml_answers", {"nvml": nvml.Nvml(state="version mismatch", detail="NVML error 18: mismatch")}, "NVML: NVML error 18: mismatch"),
    ("nvml_answers", {"nvml": nvml.Nvml(state="timed out")}, "NVML: timed out"),
    ("nvml_answers", {"nvml": nvml.Nvml(state="no library", detail="NVML error 12: not found"), "gpus": MISSING}, "NVML: NVML error 12"),
    ("gpu_device_files", {"device_files": ()}, "/dev/nvidiactl is missing; /dev/nvidia-uvm is missing; 0 of the files /dev/nvidia0, 1, ... exist for 2 GPUs"),
    ("gpu_device_files", {"device_files": (*HEALTHY["device_files"][1:], device_files.DeviceFile(path="/dev/nvidia0", usable=False))}, "this user may not open /dev/nvidia0"),
    ("gpus_all_shown", {"pci_gpus": (on_bus(0), on_bus(1), on_bus(2))}, "the GPU at 0000:1c:00.0 is bound to the nvidia driver and not shown by it"),
    ("fabric_manager_runs", {"fabric_manager": fabric_manager.FabricManager(version="580.65.06", running=False)}, "the fabric manager does not run"),
    ("fabric_manager_runs", {"fabric_manager": fabric_manager.FabricManager(version="570.86.10", running=True)}, "the fabric manager is 570.86.10 and the driver 580.65.06"),
    ("fabric_manager_runs", {"fabric_manager": MISSING, "gpu_fabric": MISSING}, "no fabric manager was found"),
    ("fabric_manager_runs", {"gpu_fabric": (gpu_fabric.GpuFabric(id="1", state="in progress"),)}, "GPU 1: registration with the NVLink fabric: in progress"),
    ("fabric_manager_runs", {"gpu_links": gpu_links.GpuLinks()}, "NVML does not answer"),
    ("gpu_memory_sound", {"gpu_memory_errors": (gpu_memory_errors.GpuMemoryErrors(id="0", uncorrected=2, remap_pending=1),)}, "GPU 0: a row of memory waits to be replaced: a GPU reset or reboot does it; GPU 0: uncorrected memory errors"),
    ("gpu_memory_sound", {"gpu_memory_errors": (gpu_memory_errors.GpuMemoryErrors(id="1", remap_failed=1),)}, "GPU 1: a row of memory could not be replaced"),
    ("gpu_memory_sound", {"gpus": (gpu(0, ecc=False), gpu(1))}, "GPU 0: ECC is off"),
    ("no_xid", {"xids": [xids.Xid(bus_id="0000:1b:00.0", xid=79)] * 2}, "Xid 79 at 0000:1b:00.0, 2 times (the GPU has fallen off the bus)"),
    ("no_xid", {"xids": [xids.Xid(bus_id="0000:1b:00.0", xid=94)]}, "Xid 94 at 0000:1b:00.0 (a memory error that was contained"),
    ("no_xid", {"xids": MISSING}, "xids could not be read (refused: only root may look)"),
    ("gpus_not_throttled", {"gpu_throttling": (gpu_throttling.GpuThrottling(id="0", reasons=("power cap", "power brake")),)}, "GPU 0: power brake"),
    ("clocks_as_delivered", {"gpu_clocks": (gpu_clocks.GpuClocks(id="1", application=1095, application_default=1275),)}, "GPU 1: application clocks are set to 1095 MHz of 1275"),
    ("clocks_as_delivered", {"gpu_clocks": (gpu_clocks.GpuClocks(id="1", power_w=350.0, power_default_w=700.0),)}, "GPU 1: its power is limited to 350 of 700 W"),
    ("clocks_as_delivered", {"gpu_clocks": (gpu_clocks.GpuClocks(id="0", sm=900, application=1980, application_default=1980),), "gpu_throttling": (gpu_throttling.GpuThrottling(id="0", reasons=("application clocks",)),)}, "GPU 0: its clock is locked at 900 MHz"),
    ("gpus_to_ourselves", {"gpu_processes": (gpu_processes.GpuProcess(id="1", pid=4711, name="python3", memory_mib=70000),)}, "GPU 1: python3 (PID 4711) holds 70000 MiB"),
    ("pcie_links", {"gpus": (gpu(0), gpu(1, link=gpus.PcieLink(width=8, width_max=16, generation=5, generation_max=5)))}, "GPU 1: the PCIe link has 8 of 16 lanes"),
    ("pcie_links", {"gpus": (gpu(0, link=None), gpu(1, link=None))}, "the PCIe link could not be read"),
    ("persistence_mode", {"gpus": (gpu(0, persistence=False), gpu(1, persistence=False))}, "GPU 0-1: persistence mode is off"),
    ("shared_memory", {"shm": shm.Shm(total_gb=0.0625, free_gb=0.06)}, "shared memory is 64 MiB, too little for several GPUs"),
    ("shared_memory", {"shm": shm.Shm(total_gb=16.0, free_gb=0.1)}, "only 102 MiB of 16.0 GiB of shared memory are free"),
    ("memlock_for_rdma", {"limits": limits.Limits(memlock=limits.Limit(soft=8388608, hard=None), nofile=UNLIMITED, nproc=UNLIMITED)}, "up to 8 MiB, and NCCL locks its buffers for mlx5_0"),
    ("disk_left", {"disks": {"prefix": disk("/prefix", free_gb=9.0)}}, "/prefix (prefix) has 9.0 GiB left; another environment like this one takes 10.7 GiB"),
    ("disk_left", {"disks": {"tmpdir": disk("/tmp", free_gb=0.1)}}, "/tmp (tmpdir) has 0.1 GiB left; at least 2.0 GiB are needed"),
    ("disk_left", {"disks": {"cache": disk("/c", options=("noexec",))}}, "/c (cache) is mounted noexec"),
    ("disk_left", {"disks": {"models": disk("/hf", free_gb=1.0)}}, "/hf (models) has 1.0 GiB left; at least 2.0 GiB are needed"),
    ("disk_left", {"disks": {}}, "disk space could not be read"),
    ("mig_usable", {"gpus": (gpu(0), gpu(1, mig=True))}, "GPU 1: MIG is on and no instance exists"),
    ("mig_usable", {"gpus": (gpu(0), gpu(1, mig=True, slices=(gpus.MigSlice(id="1:0"),)))}, "GPU 1 divided by MIG beside whole GPU 0"),
    ("next_boot", {"driver": driver.Driver(version="580.65.06", on_disk="590.44.01", library="580.65.06")}, "driver 580.65.06 is loaded, and the next boot loads 590.44.01"),
    ("next_boot", {"kernel_modules": (kernel_modules.InstalledKernel(kernel="6.8.0-101-generic", nvidia=False), *HEALTHY["kernel_modules"])}, "the newest installed kernel, 6.8.0-101-generic, has no nvidia module"),
    ("next_boot", {"kernel_modules": MISSING, **DOCKER}, "cannot be seen from inside this container: the installed kernels could not be read"),
    ("gpus_as_before", {**ONE_GPU_LEFT, "xids": (xids.Xid(bus_id="0000:1b:00.0", xid=79),)}, "GPU 1 (NVIDIA H100 80GB HBM3) at 0000:1b:00.0 is gone; the last Xid in the kernel log for it is 79"),
    ("gpus_as_before", {"gpus": MISSING}, "GPU 0 (NVIDIA H100 80GB HBM3) at 0000:1a:00.0 is gone; the last Xid in the kernel log for it is 31; GPU 1"),
    ("gpus_as_before", {**ONE_GPU_LEFT, **DOCKER, "pci_gpus": (on_bus(0),)}, "0000:1b:00.0 is gone"),
    *(
        ("environment_harmless", {"environment": {name: value}}, says)
        for name, value, says in (
            ("CUDA_VISIBLE_DEVICES", "", "hides every GPU"),
            ("CUDA_VISIBLE_DEVICES", "0,-1,1", "hides every GPU after it"),
            ("CUDA_VISIBLE_DEVICES", "0,7", "there is no GPU 7"),
            ("CUDA_VISIBLE_DEVICES", "all", "`all` is neither a number nor a UUID"),
            ("CUDA_VISIBLE_DEVICES", "1,1", "names a GPU twice"),
            ("CUDA_HOME", ":/usr/local/cuda", "CUDA_HOME=:/usr/local/cuda: must be one folder, not a list"),
            ("CUDA_HOME", "cuda", "is not an absolute path"),
            ("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:128,expandable_segments:True", "cannot be shared between GPUs"),
            ("PYTORCH_ALLOC_CONF", "expandable_segments:True", "cannot be shared between GPUs"),
            ("LD_LIBRARY_PATH", "/x:/usr/local/cuda-12.4/lib64", "/usr/local/cuda-12.4/lib64 comes before the CUDA libraries"),
            ("LD_LIBRARY_PATH", "/usr/local/cuda/targets/x86_64-linux/lib", "comes before the CUDA libraries"),
            ("LD_LIBRARY_PATH", "/usr/local/cuda/lib64/stubs/", "holds a stub of libcuda that runs nothing"),
            ("LD_PRELOAD", "/usr/lib/libnccl.so.2", "loads libnccl.so into every program"),
            ("PYTHONPATH", "/opt/conda/lib/python3.12/site-packages", "come before those of the environment"),
            ("PYTHONHOME", "/opt/conda", "looks for its standard library there"),
            ("TORCH_CUDA_ARCH_LIST", "7.0 8.0;8.6", "leaves out GPU 0 (9.0)"),
            ("CUDA_LAUNCH_BLOCKING", "1", "every kernel waits"),
            ("CUDA_FORCE_PTX_JIT", "1", "machine code is ignored"),
            ("CUDA_DISABLE_PTX_JIT", "1", "exist only as PTX do not run"),
            ("NCCL_P2P_DISABLE", "1", "through the host's memory"),
            ("NCCL_SHM_DISABLE", "1", "through the network"),
            ("TRITON_INTERPRET", "1", "Python interprets Triton's kernels"),
            ("VLLM_ATTENTION_BACKEND", "XFORMERS", "vLLM ignores it"),
        )
    ),
]  # fmt: skip


@twin_of(*sorted({name for name, _, _ in TWINS}))
@pytest.mark.parametrize(
    ("name", "changed", "says"), TWINS, ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_host_with_a_fault_fails(name: str, changed: dict[str, Any], says: str) -> None:
    verdict = judged(name, **changed)
    assert not verdict.passed
    assert says in verdict.summary
    assert verdict.hint


def test_every_host_check_has_a_twin_and_every_rule_of_the_environment() -> None:
    assert {name for name, _, _ in TWINS} == {check.name for check in HOST_CHECKS}
    rules = importlib.import_module("checks.environment_harmless")._RULES
    assert {
        next(iter(changed["environment"]))
        for name, changed, _ in TWINS
        if name == "environment_harmless"
    } == set(rules)


SOUND: list[tuple[str, dict[str, Any], str]] = [
    ("pcie_links", {"gpus": (gpu(0, link=gpus.PcieLink(width=16, width_max=16, generation=1, generation_max=5)), gpu(1))}, "PCIe x16, the full width of GPU and slot"),
    ("pcie_links", {"gpus": (gpu(0, link=gpus.PcieLink(width=8, width_max=8, width_of_gpu=16, generation=4, generation_max=4, generation_of_gpu=5)), gpu(1))}, "GPU 0: the slot has x8 where the GPU has x16 and generation 4 where the GPU has generation 5"),
    ("fabric_manager_runs", {"gpu_links": gpu_links.GpuLinks(nvswitch=False), "fabric_manager": MISSING}, "no NVSwitches here"),
    ("fabric_manager_runs", {"fabric_manager": MISSING, "gpu_fabric": MISSING, **DOCKER}, "outside of this container"),
    ("fabric_manager_runs", {"fabric_manager": MISSING, "gpus": (gpu(0, name="NVIDIA GB200"), gpu(1))}, "managed elsewhere"),
    ("gpus_as_before", {**ONE_GPU_LEFT, **DOCKER}, "1 of 2 GPUs of an earlier run: those that this job or container was given"),
    ("gpus_as_before", {"gpus": (gpu(0), gpu(5))}, "as many as before, at other places"),
    ("gpus_all_shown", {**ONE_GPU_LEFT, **DOCKER}, "this container or job was given 1 of 2 GPUs"),
    ("gpus_all_shown", {**ONE_GPU_LEFT, "scheduler": job_scheduler.Scheduler(name="slurm", place="job")}, "this container or job was given 1 of 2 GPUs"),
    ("no_xid", {"xids": [xids.Xid(bus_id="0000:1b:00.0", xid=number) for number in (63, 106, 107, 137, 154, 162)]}, "6 of programs, or notes"),
    ("gpu_memory_sound", {"gpus": (gpu(0, name="NVIDIA GeForce RTX 4090", ecc=False), gpu(1, name="NVIDIA GeForce RTX 4090", ecc=None)), "gpu_memory_errors": MISSING}, "nothing counts errors"),
    ("clocks_as_delivered", {"gpu_clocks": (gpu_clocks.GpuClocks(id="0", sm=1410, sm_max=1410, application=1275, application_default=1275),), "gpu_throttling": (gpu_throttling.GpuThrottling(id="0", reasons=("application clocks",)),)}, "as the GPUs were delivered"),
    ("clocks_as_delivered", {"gpu_clocks": (gpu_clocks.GpuClocks(id="0", sm=345, application=1980, application_default=1980),), "gpu_throttling": (gpu_throttling.GpuThrottling(id="0", reasons=("idle", "application clocks")),)}, "as the GPUs were delivered"),
    ("gpus_to_ourselves", {"gpu_processes": (gpu_processes.GpuProcess(id="7", pid=1),)}, "no other process"),
    ("memlock_for_rdma", {"rdma": (), "limits": limits.Limits(memlock=limits.Limit(soft=8, hard=8), nofile=UNLIMITED, nproc=UNLIMITED)}, "no InfiniBand"),
    ("environment_harmless", {"environment": {"TORCH_CUDA_ARCH_LIST": "8.0+PTX", "CUDA_VISIBLE_DEVICES": "GPU-***", "CUDA_HOME": "/usr/local/cuda", "LD_LIBRARY_PATH": "/usr/local/cuda/compat:/usr/local/nvidia/lib64"}}, "none of"),
    ("mig_usable", {"gpus": tuple(gpu(n, mig=True, slices=(gpus.MigSlice(id=f"{n}:0"),)) for n in (0, 1))}, "every GPU is divided by MIG: 0, 1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changed", "says"), SOUND, ids=lambda each: each if isinstance(each, str) else ""
)
def test_hosts_that_only_look_wrong_pass(name: str, changed: dict[str, Any], says: str) -> None:
    verdict = judged(name, **changed)
    assert verdict.passed, verdict.summary
    assert says in verdict.summary


@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.name)
def test_an_unreadable_fact_does_not_pass(check: launch_checks.CheckDescription) -> None:
    """Remove each fact in turn: the check passes without it, or says that it could not be read."""
    earlier = {} if check.name == "gpus_as_before" else HEALTHY
    results = {name: judged(check.name, earlier, **{name: MISSING}) for name in HEALTHY}
    needed = [name for name, verdict in results.items() if not verdict.passed]
    assert needed or check.name == "gpus_as_before"
    for name in needed:
        assert "could not be read" in results[name].summary, results[name].summary
    everything = judged(check.name, HEALTHY, **dict.fromkeys(HEALTHY, MISSING))
    assert not everything.passed


@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.name)
def test_host_checks_read_only_facts_that_a_recording_has(
    check: launch_checks.CheckDescription,
) -> None:
    assert (check.profile, check.step) == ("passive", 10)
    assert check.needs.recording
    assert set(HEALTHY) <= {fact.name for fact in discover()}
    context = Context(profile="cpu", scratch="", facts={"x": 1})
    reason = unmet_need(importlib.import_module(f"checks.{check.name}").CHECK.needs, context)
    assert (
        reason == "" if check.needs.profile is None else reason.startswith("is about vLLM for cuda")
    )


def test_they_run_without_torch_and_without_provision() -> None:
    names = [check.name for check in HOST_CHECKS]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module('checks.' + name)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'vllm', 'provision', 'msgspec')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "hosts").glob("*.yaml")), ids=lambda path: path.stem
)
def test_described_hosts_never_break_a_check(path: Any) -> None:
    host = from_text.parse(path.read_text(), path.name)
    facts = {fact.name: msgspec.to_builtins(host.value(fact)) for fact in discover()}
    used = tuple(item["id"] for item in facts["gpus"]) or ("0",)
    for check in HOST_CHECKS:
        result = body(
            check.name, Context(profile="cuda", scratch="", gpus=(*used, "x"), facts=facts)
        )
        assert result.summary, check.name


@pytest.mark.parametrize(("maker", "passes"), [("/usr/bin/nvidia-modprobe", True), (None, False)])
def test_a_file_that_the_first_cuda_program_makes_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, maker: str | None, passes: bool
) -> None:
    monkeypatch.setattr("checks.gpu_device_files.shutil.which", lambda _: maker)
    files = tuple(file for file in HEALTHY["device_files"] if file.path != "/dev/nvidia-uvm")
    assert judged("gpu_device_files", device_files=files).passed is passes
    assert not judged("gpu_device_files", device_files=files, **DOCKER).passed
