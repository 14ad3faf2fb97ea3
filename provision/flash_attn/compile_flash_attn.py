"""Run by a toolkit's Python: compiles flash-attn from its source release, fewer files at once where memory runs out.

What was compiled stays, so that the same command goes on after a kill. Only the standard library is used here.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import signal
import subprocess  # noqa: TID251 - this is run by another Python, beside the house
import sys
import tarfile
import threading
import time
from pathlib import Path

TELL_EVERY_S = 10.0
LOOK_EVERY_S = 0.25
SPARE = 0.04  # of the memory: below this the kernel soon kills somebody, and not always the compiler
_STARTED = re.compile(r"\[(\d+)/(\d+)\] ")
_KILLED = re.compile(r"(?i)killed|signal 9|died due to signal|out of memory|cannot allocate memory|bad_alloc")
_ERROR = re.compile(r"(?i)\berror\b[:( ]|#error|undefined reference|no such file or directory|no space left")
_RAISED = re.compile(r"[\w.]*(?:Error|Exception): \S")  # how Python ends where nothing was caught
_SOURCE = re.compile(r'"csrc/flash_attn/(?:src/)?(\w+)\.(?:cpp|cu)",\n')
_KERNEL = re.compile(r"template *(?:<>)?\s*void (run_mha_\w+<[^>]+>)\((Flash_\w+) ")
_GB = 10**9
# choose_jobs says the same where it knows beforehand that there is too little
_ELSEWHERE = (
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
    asked = _arguments()
    try:
        folder = _unpacked(Path(asked.source), Path(asked.folder), asked.std, asked.only)
    except (OSError, ValueError, tarfile.TarError) as error:
        sys.stderr.write(f"flash-attn could not be compiled: its source release cannot be unpacked: {error}\n")
        return 1
    _end_all(folder)
    total = len(_SOURCE.findall((folder / "setup.py").read_text()))
    jobs = asked.jobs
    while True:
        build = Build(folder, Path(asked.dist), jobs, total)
        if build.run() == 0:
            return 0
        if not build.lacked_memory or jobs == 1:
            break
        jobs = max(1, jobs // 2)
        _say(f"memory ran out; going on with {jobs} at once")
    if build.lacked_memory:
        why = f"memory ran out with a single file at once; {_free() / _GB:.1f} GB are free now: {_ELSEWHERE}"
    else:
        why = build.first_error or build.last_raised or "its setup failed"
    sys.stderr.write(f"flash-attn could not be compiled: {why}\n")
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("folder")
    parser.add_argument("dist")
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--std", type=int, required=True, help="the C++ standard that torch's headers need")
    parser.add_argument("--only", default="", help="compile only sources whose name matches this pattern")
    return parser.parse_args()


class Build:
    """One attempt with so many files at once."""

    def __init__(self, folder: Path, dist: Path, jobs: int, total: int) -> None:
        self._folder, self._dist, self._jobs, self._total = folder, dist, jobs, total
        self._done, self._told = 0, 0.0
        self.lacked_memory = False
        self.first_error = self.last_raised = ""

    def run(self) -> int:
        shutil.rmtree(self._dist, ignore_errors=True)
        argv = [sys.executable, "setup.py", "bdist_wheel", "--dist-dir", str(self._dist)]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environment = {**os.environ, "MAX_JOBS": str(self._jobs), "PATH": path, "NINJA_STATUS": "[%f/%t] "}
        child = subprocess.Popen(
            argv,
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        watch = threading.Thread(target=self._watch, args=(child,), daemon=True)
        watch.start()
        assert child.stdout  # noqa: S101 - it is a pipe
        for line in child.stdout:
            self._hear(line.rstrip())
        return child.wait()

    def _hear(self, line: str) -> None:
        _say(f"ninja {line}" if _STARTED.match(line) else line)
        if started := _STARTED.match(line):
            # ninja counts what is left to do: what an earlier run has compiled is not in it
            finished, left = int(started[1]), int(started[2])
            self._done = max(self._done, self._total - left + finished)
            self._tell()
        if _KILLED.search(line) and not started:
            self.lacked_memory = True
        elif not self.first_error and not started and _ERROR.search(line):
            self.first_error = line.strip()
        elif _RAISED.match(line):
            self.last_raised = line

    def _tell(self) -> None:
        self._told = time.monotonic()
        used = (_memory()[0] - _free()) / _GB
        _say(f"[{min(self._done, self._total)}/{self._total}] {self._jobs} at once, {used:.1f} GB of memory in use")

    def _watch(self, child: subprocess.Popen[str]) -> None:
        """Ends the compilers before the kernel ends something else."""
        enough = SPARE * _memory()[0]
        while child.poll() is None:
            if self._jobs > 1 and _free() < enough:
                self.lacked_memory = True
                _end_all(self._folder)
                return
            if time.monotonic() - self._told > TELL_EVERY_S and self._done:
                self._tell()
            time.sleep(LOOK_EVERY_S)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _end_all(folder: Path) -> None:
    """Whoever compiles in a folder, also what outlived the run that started it. ninja does unfinished files again."""
    inside = f"{os.path.realpath(folder)}/"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and f"{os.readlink(process / 'cwd')}/".startswith(inside):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # gone, or somebody else's
            continue


def _memory() -> tuple[int, int]:
    """How much memory there is for us, and how much of it is free: the host's, or our control group's if less."""
    known = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    total, free = int(known["MemTotal"]) * 1024, int(known["MemAvailable"]) * 1024
    for limit, used in _groups():
        total, free = min(total, limit), min(free, max(0, limit - used))
    return total, free


def _free() -> int:
    return _memory()[1]


def _groups() -> list[tuple[int, int]]:
    """Limit and use of every control group above us; files that were only read do not count as used."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        names = (
            ("memory.max", "memory.current") if not controllers else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        if controllers and "memory" not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup/memory") if controllers else Path("/sys/fs/cgroup")
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            try:
                limit, used = (int((folder / name).read_text()) for name in names)
                idle = re.search(r"(?m)^(?:total_)?inactive_file (\d+)", (folder / "memory.stat").read_text())
            except (OSError, ValueError):  # "max", or the root, which has none
                pass
            else:
                found.append((limit, used - (int(idle[1]) if idle else 0)))
            if folder == root:
                break
    return found


def _unpacked(source: Path, folder: Path, std: int, only: str) -> Path:
    """The source release, made fit for this torch; once, since ninja goes by the files' times."""
    there = folder / f"{source.name}-{std}-{re.sub(r'[^a-z0-9]', '', only) or 'all'}"
    if there.is_dir():
        return there
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
    os.replace(inside, there)
    return there


def _leave_out(folder: Path, only: str) -> None:
    """Every kernel of the sources that do not match becomes a sentence that says so."""
    setup, left_out = (folder / "setup.py").read_text(), []
    for found in _SOURCE.finditer(setup):
        if found[0].endswith('.cu",\n') and not fnmatch.fnmatch(found[1], only):
            setup = setup.replace(found[0], "")
            text = (folder / "csrc" / "flash_attn" / "src" / f"{found[1]}.cu").read_text()
            left_out += [
                f"template <> void {name}({params} &, cudaStream_t) {{ gone(); }}"
                for name, params in _KERNEL.findall(text)
            ]
    (folder / "setup.py").write_text(
        setup.replace('/flash_api.cpp",\n', '/flash_api.cpp",\n"csrc/flash_attn/left_out.cpp",\n', 1)
    )
    (folder / "csrc" / "flash_attn" / "left_out.cpp").write_text(
        _LEFT_OUT.replace("@KERNELS@", "\n".join(left_out)).replace("@ONLY@", only)
    )


if __name__ == "__main__":
    sys.exit(main())
