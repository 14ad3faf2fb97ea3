"""Compile flash-attn from its source release, with fewer files at once when memory runs out.

A toolkit's own Python runs this script, so it uses the standard library only. Compiled files are
kept: after a kill, the same command continues with the rest.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import signal
import subprocess  # noqa: TID251 - another Python runs this, without provision/doors
import sys
import tarfile
import threading
import time
from pathlib import Path

REPORT_EVERY_S = 10.0
WATCH_EVERY_S = 0.25
# A share of the memory: below it the kernel soon kills a process, not always the compiler.
SPARE = 0.04
_STARTED = re.compile(r"\[(\d+)/(\d+)\] ")
_KILLED = re.compile(
    r"(?i)killed|signal 9|died due to signal|out of memory|cannot allocate memory|bad_alloc"
)
_ERROR = re.compile(
    r"(?i)\berror\b[:( ]|#error|undefined reference|no such file or directory|no space left"
)
_RAISED = re.compile(r"[\w.]*(?:Error|Exception): \S")  # the last line of a Python traceback
_SOURCE = re.compile(r'"csrc/flash_attn/(?:src/)?(\w+)\.(?:cpp|cu)",\n')
_KERNEL = re.compile(r"template *(?:<>)?\s*void (run_mha_\w+<[^>]+>)\((Flash_\w+) ")
_GB = 10**9
# choose_jobs gives the same advice when the plan already shows that memory is too small.
_WAY_OUT = (
    "free some, raise the control group's limit, or build on another host and bring the wheel with "
    "`./setup.sh wheels import`"
)
_LEFT_OUT = """\
#include <stdexcept>
#include <cutlass/numeric_types.h>
#include "namespace_config.h"
#include "flash.h"
namespace FLASH_NAMESPACE {
[[noreturn]] static void gone() { throw std::runtime_error("left out: only @ONLY@ was compiled"); }
@KERNELS@
}
"""


def main() -> int:
    options = _arguments()
    try:
        folder = _unpack(Path(options.source), Path(options.folder), options.std, options.only)
    except (OSError, ValueError, tarfile.TarError) as error:
        return _fail(f"its source release cannot be unpacked: {error}")
    _end_compilers(folder)
    total = len(_SOURCE.findall((folder / "setup.py").read_text()))
    jobs = options.jobs
    while True:
        build = Build(folder, Path(options.dist), jobs, total)
        if build.run() == 0:
            return 0
        if not build.lacked_memory or jobs == 1:
            break
        jobs = max(1, jobs // 2)
        _print(f"memory ran out; going on with {jobs} at once")
    if build.lacked_memory:
        return _fail(
            "memory ran out with a single file at once; "
            f"{_memory()[1] / _GB:.1f} GB are free now: {_WAY_OUT}"
        )
    return _fail(build.first_error or build.last_raised or "its setup failed")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("source", "folder", "dist"):
        parser.add_argument(name)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument(
        "--std", type=int, required=True, help="the C++ standard that torch's headers need"
    )
    parser.add_argument(
        "--only", default="", help="compile only sources whose name matches this pattern"
    )
    return parser.parse_args()


def _fail(why: str) -> int:
    sys.stderr.write(f"flash-attn could not be compiled: {why}\n")
    return 1


class Build:
    """One attempt to compile with a fixed number of files at once."""

    def __init__(self, folder: Path, dist: Path, jobs: int, total: int) -> None:
        self._folder, self._dist, self._jobs, self._total = folder, dist, jobs, total
        self._done, self._reported = 0, 0.0
        self.lacked_memory = False
        self.first_error = self.last_raised = ""

    def run(self) -> int:
        shutil.rmtree(self._dist, ignore_errors=True)
        # ninja is installed beside this Python.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        child = subprocess.Popen(
            [sys.executable, "setup.py", "bdist_wheel", "--dist-dir", str(self._dist)],
            cwd=self._folder,
            env={
                **os.environ,
                "MAX_JOBS": str(self._jobs),
                "PATH": path,
                "NINJA_STATUS": "[%f/%t] ",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._watch, args=(child,), daemon=True).start()
        assert child.stdout  # noqa: S101 - it is a pipe
        for line in child.stdout:
            self._read(line.rstrip())
        return child.wait()

    def _read(self, line: str) -> None:
        started = _STARTED.match(line)
        _print(f"ninja {line}" if started else line)
        if started:
            # ninja counts only what is left: files of an earlier run are not in its total.
            finished, left = int(started[1]), int(started[2])
            self._done = max(self._done, self._total - left + finished)
            self._report()
        if _KILLED.search(line) and not started:
            self.lacked_memory = True
        elif not self.first_error and not started and _ERROR.search(line):
            self.first_error = line.strip()
        elif _RAISED.match(line):
            self.last_raised = line

    def _report(self) -> None:
        self._reported = time.monotonic()
        total, free = _memory()
        _print(
            f"[{min(self._done, self._total)}/{self._total}] "
            f"{self._jobs} at once, {(total - free) / _GB:.1f} GB of memory in use"
        )

    def _watch(self, child: subprocess.Popen[str]) -> None:
        """End the compilers when memory runs low, before the kernel ends something else."""
        least = SPARE * _memory()[0]
        while child.poll() is None:
            if self._jobs > 1 and _memory()[1] < least:
                self.lacked_memory = True
                _end_compilers(self._folder)
                return
            if time.monotonic() - self._reported > REPORT_EVERY_S and self._done:
                self._report()
            time.sleep(WATCH_EVERY_S)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _end_compilers(folder: Path) -> None:
    """Kill every process that works in a folder, also those of an earlier run that was killed.

    Unfinished files are no loss: ninja compiles them again.
    """
    inside = f"{os.path.realpath(folder)}/"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            works_inside = f"{os.readlink(process / 'cwd')}/".startswith(inside)
            if works_inside and process.name != str(os.getpid()):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # it has ended, or it belongs to another user
            continue


def _memory() -> tuple[int, int]:
    """Return total and free memory in bytes: the host's, or the control group's if that is less."""
    rows = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    total, free = int(rows["MemTotal"]) * 1024, int(rows["MemAvailable"]) * 1024
    for limit, used in _control_groups():
        total, free = min(total, limit), min(free, max(0, limit - used))
    return total, free


def _control_groups() -> list[tuple[int, int]]:
    """Return limit and use of this process's control group and of every group above it."""
    groups = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if controllers  # the first version of control groups
            else ("memory.max", "memory.current")
        )
        root = Path("/sys/fs/cgroup/memory") if controllers else Path("/sys/fs/cgroup")
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            try:
                limit, used = (int((folder / name).read_text()) for name in names)
                statistics = (folder / "memory.stat").read_text()
            except (OSError, ValueError):  # no limit ("max"), or the root, which has no such file
                pass
            else:
                # The kernel counts cached files as used, but frees them when memory is needed.
                cached = re.search(r"(?m)^(?:total_)?inactive_file (\d+)", statistics)
                groups.append((limit, used - (int(cached[1]) if cached else 0)))
            if folder == root:
                break
    return groups


def _unpack(source: Path, folder: Path, std: int, only: str) -> Path:
    """Unpack the source release once and make it fit this torch; return its folder."""
    place = folder / f"{source.name}-{std}-{re.sub(r'[^a-z0-9]', '', only) or 'all'}"
    if place.is_dir():  # not unpacked again, since ninja compares the times of files
        return place
    aside = folder / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    with tarfile.open(source) as archive:
        if hasattr(tarfile, "data_filter"):  # not in every Python 3.10
            archive.extraction_filter = staticmethod(tarfile.data_filter)
        archive.extractall(aside)  # noqa: S202 - its hash is the locked one
    inside, *others = aside.iterdir()
    if others:
        raise ValueError("it holds more than one folder")
    setup = inside / "setup.py"
    setup.write_text(setup.read_text().replace("-std=c++17", f"-std=c++{std}"))
    if only:
        _leave_out(inside, only)
    os.replace(inside, place)
    return place


def _leave_out(folder: Path, only: str) -> None:
    """Replace every kernel of the sources that do not match by a function that raises an error."""
    setup, left_out = (folder / "setup.py").read_text(), []
    for source in _SOURCE.finditer(setup):
        if source[0].endswith('.cu",\n') and not fnmatch.fnmatch(source[1], only):
            setup = setup.replace(source[0], "")
            text = (folder / "csrc" / "flash_attn" / "src" / f"{source[1]}.cu").read_text()
            left_out += [
                f"template <> void {name}({params} &, cudaStream_t) {{ gone(); }}"
                for name, params in _KERNEL.findall(text)
            ]
    (folder / "setup.py").write_text(
        setup.replace(
            '/flash_api.cpp",\n', '/flash_api.cpp",\n"csrc/flash_attn/left_out.cpp",\n', 1
        )
    )
    (folder / "csrc" / "flash_attn" / "left_out.cpp").write_text(
        _LEFT_OUT.replace("@KERNELS@", "\n".join(left_out)).replace("@ONLY@", only)
    )


if __name__ == "__main__":
    sys.exit(main())
