"""Facts about a host's state: device files, installed kernels, RDMA devices, the kernel log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.doors.reading import Reading
from provision.host import _filesystem, _programs, device_files, kernel_modules, rdma, xids
from tests.host.recorded import known, missing

LOG = """[    1.0] Linux version 6.8.0 (somebody@buildhost)
[   12.3] Command line: BOOT_IMAGE=/vmlinuz password=geheim
[ 4711.5] NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python3, GPU has fallen off the bus.
[ 4711.6] usb 1-1: SerialNumber: 12345
[ 4712.0] NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.
[ 4713.0] NVRM: Xid (PCI:000F:01:00): 13, Graphics SM Warp Exception
"""


def command(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_only_what_the_nvidia_module_said_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").write_text(LOG)
    command(tmp_path / "bin", "dmesg", f"exec /bin/cat {tmp_path}/log")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    kept = _programs.kernel_log()
    assert not any(word in str(kept) for word in ("geheim", "buildhost", "12345"))
    assert known(xids.FACT, {"probe kernel_log": kept}) == (
        xids.Xid(
            bus_id="0000:3b:00.0",
            xid=79,
            text="pid=1234, name=python3, GPU has fallen off the bus.",
        ),
        xids.Xid(bus_id="000f:01:00.0", xid=13, text="Graphics SM Warp Exception"),
    )


def test_a_kernel_log_that_may_not_be_read_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(
        tmp_path / "bin",
        "dmesg",
        "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1",
    )
    command(tmp_path / "bin", "journalctl", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(PermissionError, match="shows nothing of the kernel"):
        _programs.kernel_log()
    command(tmp_path / "bin", "journalctl", "echo 'NVRM: Xid (PCI:0000:3b:00): 48, DBE'")
    assert _programs.kernel_log() == ["NVRM: Xid (PCI:0000:3b:00): 48, DBE"]


def test_a_refused_log_leaves_the_fact_missing() -> None:
    refused = Reading(outcome="refused", detail="dmesg: Operation not permitted")
    assert missing(xids.FACT, {"probe kernel_log": refused}).why == "refused"


def test_device_files_are_looked_at_and_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia0").touch()
    os.mkfifo(tmp_path / "nvidiactl")  # opening it would wait for ever
    (tmp_path / "nvidia-caps").mkdir()
    (tmp_path / "nvidia-caps" / "nvidia-cap1").touch(mode=0)
    monkeypatch.setattr(
        _filesystem, "_DEVICES", (f"{tmp_path}/nvidia*", f"{tmp_path}/nvidia-caps/*")
    )
    result = known(device_files.FACT, {"probe device_files": _filesystem.device_files()})
    assert [Path(item.path).name for item in result] == ["nvidia0", "nvidiactl", "nvidia-cap1"]
    assert result[0].usable
    assert result[2].usable == (os.geteuid() == 0)


def test_the_newest_kernel_and_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for release, modules in (
        (
            "6.8.0-45-generic",
            "updates/dkms/nvidia.ko.zst: kernel/x.ko.zst\nupdates/dkms/nvidia-uvm.ko.zst:\n",
        ),
        (
            "6.8.0-100-generic",
            "updates/dkms/nvidia-peermem.ko.zst:\nkernel/drivers/net/forcedeth.ko.zst:\n",
        ),
        ("5.15.0-1-generic", None),
    ):
        (tmp_path / release).mkdir()
        if modules is not None:  # the other was removed and left its folder
            (tmp_path / release / "modules.builtin").touch()
            (tmp_path / release / "modules.dep").write_text(modules)
    monkeypatch.setattr(
        _filesystem, "Path", lambda path: tmp_path if path == "/lib/modules" else Path(path)
    )
    assert known(kernel_modules.FACT, {"probe kernel_modules": _filesystem.kernel_modules()}) == (
        kernel_modules.InstalledKernel(kernel="6.8.0-100-generic", nvidia=False),
        kernel_modules.InstalledKernel(kernel="6.8.0-45-generic", nvidia=True),
    )


def test_rdma_devices_by_name() -> None:
    key = "files /sys/class/infiniband/*"
    assert known(
        rdma.FACT,
        {key: {"/sys/class/infiniband/mlx5_1": "-> x", "/sys/class/infiniband/mlx5_0": "-> y"}},
    ) == (
        "mlx5_0",
        "mlx5_1",
    )
    assert known(rdma.FACT, {key: Reading(outcome="absent", detail="nothing matches")}) == ()
    assert missing(rdma.FACT, {}).why == "not read"
