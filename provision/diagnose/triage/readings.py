"""The readings of a host: driver, devices, kernel logs, memory, disks, environment, last failure."""

import glob
import os
import re
from typing import List, Tuple

from .children import Answer, Reading, none, not_readable, run, value

_MOST_LOG = 256 * 1024
_LEAST_DISK = 1024**3
_LEAST_SHM = 1024**3
_DRIVER_LINE = "nvidia|nvrm|xid|pcie bus error|out of memory|oom|segfault|nvswitch"
_LIBRARIES = (
    *("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"),
    *("/usr/lib/wsl/lib", "/usr/local/nvidia/lib64", "/usr/local/cuda/compat"),
)
_QUERY = "index,name,driver_version,memory.used,memory.total"


def all_readings(checkout: str, prefix: str) -> List[Reading]:
    return [
        Reading("system", 3, _system),
        Reading("driver", 3, _driver),
        Reading("driver libraries", 5, _libraries),
        Reading("devices", 3, _devices),
        Reading("nvidia-smi", 12, _nvidia_smi),
        Reading("GPU memory", 12, _holders),
        Reading("kernel log", 8, _kernel_log),
        Reading("previous boot", 10, _previous_boot),
        Reading("fabric manager", 6, _fabric_manager),
        Reading("memory", 3, _memory),
        Reading("disks", 6, lambda: _disks([checkout, prefix])),
        Reading("environment", 8, lambda: _environment(prefix)),
        Reading("control environment", 8, lambda: _control(checkout)),
        Reading("newest failure", 8, lambda: _newest_failure(checkout)),
    ]


def _text(path: str, limit: int = 65536) -> str:
    try:
        with open(path, "rb") as stream:
            return stream.read(limit).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _system() -> Answer:
    name = re.search(r'PRETTY_NAME="?([^"\n]*)', _text("/etc/os-release"))
    kernel = os.uname()
    inside = " in a container" if _in_container() else ""
    system = name.group(1) if name else kernel.sysname
    return value("{}, kernel {}, {}{}".format(system, kernel.release, kernel.machine, inside))


def _in_container() -> bool:
    marks = ("/.dockerenv", "/run/.containerenv", "/.singularity.d")
    return any(map(os.path.exists, marks)) or "kubepods" in _text("/proc/1/cgroup")


def _driver() -> Answer:
    version = _text("/sys/module/nvidia/version").strip()
    match = re.search(r"Kernel Module\D*(\d[\d.]+)", _text("/proc/driver/nvidia/version"))
    loaded = version or (match.group(1) if match else "")
    return (
        value("{} is loaded".format(loaded), version=loaded)
        if loaded
        else none("no NVIDIA driver is loaded")
    )


def _libraries() -> Answer:
    found = []  # type: List[str]
    empty = []  # type: List[str]
    for folder in _LIBRARIES:
        for name in ("libcuda", "libnvidia-ml"):
            for path in sorted(glob.glob("{}/{}.so.[0-9][0-9]*".format(folder, name))):
                (found if os.path.getsize(path) else empty).append(path)
    if not found and not empty:
        return none("no libcuda.so or libnvidia-ml.so of a driver")
    text = ", ".join(found + [path + " (empty)" for path in empty])
    versions = sorted({path.rpartition(".so.")[2] for path in found if "/compat/" not in path})
    return value(text, versions=versions, empty=empty)


def _devices() -> Answer:
    files = sorted(glob.glob("/dev/nvidia*"))
    on_the_bus = [path for path in glob.glob("/sys/bus/pci/devices/*") if _is_gpu(path)]
    text = "{} NVIDIA GPUs on the PCI bus; {}".format(
        len(on_the_bus), " ".join(files) or "no /dev/nvidia*"
    )
    details = {"gpus": len(on_the_bus), "files": files}
    return (
        value(text, **details)
        if files or on_the_bus
        else none("no NVIDIA GPU on the PCI bus, no /dev/nvidia*")
    )


def _is_gpu(path: str) -> bool:
    is_display = _text(path + "/class").startswith(("0x0300", "0x0302"))
    return is_display and _text(path + "/vendor").strip() == "0x10de"


def _nvidia_smi() -> Answer:
    status, text = run(["nvidia-smi", "--query-gpu=" + _QUERY, "--format=csv,noheader"], 10)
    if status == -1:
        return none("nvidia-smi is not installed")
    if status == -2:
        return {"outcome": "timed out", "text": "nvidia-smi does not answer"}
    return value(text.strip(), status=status)


def _holders() -> Answer:
    fields = "--query-compute-apps=pid,used_memory,process_name"
    status, apps = run(["nvidia-smi", fields, "--format=csv,noheader"], 5)
    memory_status, used = run(
        ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], 5
    )
    if status or memory_status:
        return none("nvidia-smi does not say who holds GPU memory")
    held = sum(int(number) for number in re.findall(r"^\d+", used, re.MULTILINE))
    if apps.strip():
        return value(apps.strip(), held_mib=held)
    if held > 500:
        return value(
            "{} MiB are held, process not visible".format(held), held_mib=held, hidden=True
        )
    return none("no process holds GPU memory")


def _kernel_log() -> Answer:
    status, text = run(["dmesg"], 3)
    if status or not text.strip():
        status, text = run(
            ["journalctl", "-k", "-b", "-q", "--no-pager", "-o", "short-monotonic"], 4
        )
    if status or not text.strip() or "Permission denied" in text[:200]:
        return not_readable(
            "the kernel log may not be read by this user", "sudo dmesg -T | tail -n 200"
        )
    first = re.search(r"\[\s*(\d+)\.\d+\]", text)
    since_boot = bool(first and int(first.group(1)) < 60)
    return _driver_lines(text, since_boot)


def _driver_lines(text: str, since_boot: bool) -> Answer:
    lines = [line for line in text.splitlines() if re.search(_DRIVER_LINE, line, re.IGNORECASE)]
    if lines:
        return value("\n".join(lines[-200:]), since_boot=since_boot)
    if since_boot:
        return none("no Xid, and nothing else of a GPU, since the start")
    return none(
        "nothing of a GPU in the part of the log that is left; what was before is not known"
    )


def _previous_boot() -> Answer:
    status, text = run(
        ["journalctl", "-k", "-b", "-1", "-q", "--no-pager", "-o", "short-monotonic"], 8
    )
    if status == -1 or (not status and not text.strip()):
        return none("no log of the previous boot is kept")
    if status:
        return not_readable(
            "no log of the previous boot", "sudo journalctl -k -b -1 | grep -iE 'nvrm|xid'"
        )
    return _driver_lines(text, True)


def _fabric_manager() -> Answer:
    switches = glob.glob("/dev/nvidia-nvswitch*")
    status, text = run(["systemctl", "is-active", "nvidia-fabricmanager"], 4)
    state = text.strip().splitlines()[-1] if status >= 0 and text.strip() else ""
    if not switches:
        return none("no NVSwitch here")
    return value(
        "{} NVSwitch devices, nvidia-fabricmanager is {}".format(
            len(switches), state or "not known"
        ),
        state=state,
    )


def _memory() -> Answer:
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE))
    total, free = (int(sizes.get(name, 0)) / 1024**2 for name in ("MemTotal", "MemAvailable"))
    limit = (
        _text("/sys/fs/cgroup/memory.max").strip()
        or _text("/sys/fs/cgroup/memory/memory.limit_in_bytes").strip()
    )
    text = "{:.1f} of {:.1f} GiB are available".format(free, total)
    if limit.isdigit() and int(limit) < total * 1024**3:
        text += ", this container may use {:.1f} GiB".format(int(limit) / 1024**3)
    killed = re.search(r"^oom_kill (\d+)", _text("/sys/fs/cgroup/memory.events"), re.MULTILINE)
    kills = int(killed.group(1)) if killed else 0
    return value(
        text + (", {} processes were killed for it".format(kills) if kills else ""), oom_kills=kills
    )


def _disks(folders: List[str]) -> Answer:
    places = ["/", "/tmp", "/dev/shm", os.path.expanduser("~"), *folders]
    parts, full, small_shm, seen = [], [], False, set()
    for place in places:
        if not os.path.isdir(place) or os.stat(place).st_dev in seen:
            continue
        seen.add(os.stat(place).st_dev)
        space = os.statvfs(place)
        free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
        parts.append("{}: {:.1f} of {:.1f} GiB free".format(place, free / 1024**3, total / 1024**3))
        if place == "/dev/shm":
            small_shm = total < _LEAST_SHM
        elif free < _LEAST_DISK or (space.f_files and space.f_favail == 0):
            full.append(place)
    return value("; ".join(parts), full=full, small_shm=small_shm)


def _environment(prefix: str) -> Answer:
    current = os.path.join(prefix, "current")
    if not os.path.islink(current):
        return none("no environment is in use below {}".format(prefix))
    if not os.path.isdir(current):
        return value(
            "{} leads to {}, which is gone".format(current, os.readlink(current)), broken=True
        )
    return _python_of(current)


def _control(checkout: str) -> Answer:
    folder = os.path.join(checkout, ".venv")
    return (
        _python_of(folder) if os.path.isdir(folder) else none("no .venv yet; ./setup.sh makes it")
    )


def _python_of(folder: str) -> Answer:
    """Say whether the Python of an environment starts, and the versions of its main packages."""
    python = os.path.join(folder, "bin", "python")
    status, text = run([python, "-I", "-S", "-c", "pass"], 5)
    packages, broken = _packages(folder)
    text = "{}: {}".format(folder, ", ".join(packages) or "no package that vLLM needs")
    if status:
        text += "; its Python does not start"
    return value(text, broken=bool(status) or broken)


def _packages(folder: str) -> Tuple[List[str], bool]:
    paths = glob.glob(os.path.join(glob.escape(folder), "lib/python3*/site-packages/*.dist-info"))
    names = {}
    for path in paths:
        name, _, version = os.path.basename(path)[: -len(".dist-info")].partition("-")
        names[name.lower()] = (version, os.path.exists(os.path.join(path, "RECORD")))
    shown = [
        "{} {}".format(name, names[name][0])
        for name in ("torch", "vllm", "flash_attn", "flashinfer_python", "msgspec")
        if name in names
    ]
    return shown, any(not whole for _, whole in names.values())


def _newest_failure(checkout: str) -> Answer:
    runs = sorted(glob.glob(os.path.join(glob.escape(checkout), "logs", "2*T*Z-*")), reverse=True)
    for folder in runs[:5]:
        report = _text(os.path.join(folder, "report.json"), 16 * 1024**2)
        verdict = re.search(r'"verdict":\s*"([^"]*)"', report)
        if verdict and verdict.group(1) == "verified":
            continue
        logs = sorted(
            glob.glob(os.path.join(glob.escape(folder), "**", "*.log"), recursive=True),
            key=os.path.getmtime,
        )
        tails = "\n".join(_tail(path) for path in logs[-5:])
        said = verdict.group(1) if verdict else "ended without a report"
        return value("{}: {}".format(os.path.basename(folder), said), log=tails[-_MOST_LOG:])
    return none("no failed run in logs/")


def _tail(path: str) -> str:
    with open(path, "rb") as stream:
        stream.seek(max(os.path.getsize(path) - _MOST_LOG, 0))
        return stream.read().decode("utf-8", "replace")
