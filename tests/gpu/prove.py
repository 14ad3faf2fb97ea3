"""Runs the proof kit: the most telling jobs first, each with a limit, results as they come.

Only the standard library; the jobs are started with the Python that has torch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.gpu import page  # noqa: E402 - finds its own tree first

LIMITS_S = {1: 300.0, 2: 180.0}
_LEAST_S = 10.0  # a job with less time than that is not begun
_OF_TORCH = ("gpus_seen", "matmul", "sdpa", "cuda_graphs", "triton_compiles", "one_cuda")
_REPEATED = ("gpus_seen", "matmul", "sdpa", "cuda_graphs", "one_cuda")
_SPEEDS = ("speed_copy", "speed_matmul", "speed_host_link", "speed_attention")
_OF_VLLM = (
    *("vllm_rms_norm", "vllm_rotary", "vllm_activation"),
    *("vllm_quantised_matmul", "vllm_paged_attention", "speed_decode"),
)
_ON_A_CPU = ("matmul", "sdpa")
_VERSIONS = (
    "import json, torch; c = torch.cuda; print(json.dumps({'torch': torch.__version__, "
    "'cuda': torch.version.cuda, 'gpus': [c.get_device_name(n) for n in range(c.device_count())], "
    "'capabilities': [c.get_device_capability(n) for n in range(c.device_count())], "
    "'uuid': str(getattr(c.get_device_properties(0), 'uuid', '')) if c.device_count() else ''}))"
)


@dataclass
class Job:
    """A command with its limit; `kind` says how its output is read."""

    name: str
    kind: str  # checks, rows, figures or facts
    argv: list[str]
    limit_s: float
    env: dict[str, str] = field(default_factory=dict)


class Kit:
    """The jobs of this host and the folder of their results."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.out, self.python = Path(options.out), options.python
        self.device = "cpu" if options.on_cpu else "cuda:0"
        self.repeats, self.packed = options.repeats, options.packed
        self.out.mkdir(parents=True, exist_ok=True)
        # Part 2 may run later, and repeats what failed in part 1.
        earlier = self.out / "results.jsonl"
        lines = earlier.read_text().splitlines() if options.part == "2" and earlier.exists() else []
        self.results: list[dict[str, Any]] = [json.loads(line) for line in lines]
        if not lines:
            earlier.unlink(missing_ok=True)
        self.place = options.place
        self.uuid = ""

    def part_1(self) -> Iterator[Job]:
        """Yield the jobs that need torch alone."""
        on_gpu = self.device != "cpu"
        yield Job("versions", "facts", [self.python, "-c", _VERSIONS], 60)
        if on_gpu:
            yield Job("driver", "text", ["nvidia-smi"], 30)
        yield self._checks("kernels of torch", _OF_TORCH if on_gpu else _ON_A_CPU, 120)
        yield self._probe("fused", 90)
        yield self._probe("controls", 60)
        if on_gpu:
            yield Job("quick profile", "checks", self._run("--profile", "quick"), 120)
        yield self._checks("speeds", _SPEEDS if on_gpu else _SPEEDS[1::2], 90)
        bare = [self.python, "-B", str(ROOT / "tests/gpu/bare.py"), self.device]
        yield Job("bare figures", "figures", bare, 60)
        yield self._probe("several", 60)
        if on_gpu:
            yield self._probe("full", 120)
            visible = {"CUDA_VISIBLE_DEVICES": f"GPU-{self.uuid.removeprefix('GPU-')}"}
            yield self._checks("by its UUID", ("gpus_seen",), 30, visible)
        for number in range(1, self.repeats + 1):
            yield self._checks(f"again {number}", _REPEATED if on_gpu else _ON_A_CPU[:1], 60)

    def part_2(self) -> Iterator[Job]:
        """Yield the jobs that failed before, and those that need vLLM's compiled files."""
        for name in sorted(self._failed_checks()):
            yield self._checks(f"once more: {name}", (name,), 60)
        if self.packed:
            self.python = unpack(Path(self.packed), self.python, Path(self.place))
            yield self._checks("kernels of vLLM", _OF_VLLM, 170)

    def _failed_checks(self) -> set[str]:
        checks = (check for result in self.results for check in result.get("checks", ()))
        return {check["name"] for check in checks if check["outcome"] in page.BAD}

    def _run(self, *words: str) -> list[str]:
        return [self.python, "-B", "-m", "checks", "run", *words]

    def _checks(
        self, name: str, checks: tuple[str, ...], limit_s: float, env: dict[str, str] | None = None
    ) -> Job:
        return Job(name, "checks", self._run(*checks), limit_s, env or {})

    def _probe(self, name: str, limit_s: float) -> Job:
        argv = [self.python, "-B", str(ROOT / "tests/gpu/probes.py"), name, self.device]
        return Job(name, "rows", argv, limit_s)

    def carry_out(self, part: int) -> None:
        """Run the jobs of a part; write each result, and the page, before the next one begins."""
        end = time.monotonic() + LIMITS_S[part]
        for job in self.part_1() if part == 1 else self.part_2():
            left = end - time.monotonic()
            result: dict[str, Any] = {"part": part, "job": job.name, "kind": job.kind}
            if left < _LEAST_S:
                result["untried"] = f"no time was left in part {part}"
            else:
                result |= self._try(job, min(job.limit_s, left))
            self.uuid = result.get("facts", {}).get("uuid", self.uuid)
            self.results.append(result)
            with (self.out / "results.jsonl").open("a") as file:
                file.write(json.dumps(result) + "\n")
            (self.out / "page.md").write_text(page.text(self.results, self.about()))
            print(
                f"{result.get('seconds', 0):7.1f} s  {job.name}: {page.outcome(result)}", flush=True
            )

    def _try(self, job: Job, limit_s: float) -> dict[str, Any]:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            argv = [*job.argv, *(["--json", str(report)] if job.kind == "checks" else [])]
            try:
                done = subprocess.run(
                    argv,
                    cwd=ROOT,
                    env={**os.environ, **job.env},
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=limit_s,
                    check=False,
                )
                output, error, status = done.stdout, done.stderr, done.returncode
            except subprocess.TimeoutExpired as late:
                output, error, status = text(late.stdout), text(late.stderr), None
            except OSError as error_:
                output, error, status = "", str(error_), None
            document = report.read_text() if report.exists() else ""
        with (self.out / "log.txt").open("a") as log:
            log.write(f"## {job.name}: {argv}\n{output}\n{error}\n")
        seconds = round(time.monotonic() - began, 1)
        return {"seconds": seconds, "status": status, **read(job.kind, output, document, error)}

    def about(self) -> dict[str, str]:
        return {
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "host": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
            "command": "tests/gpu/prove.sh " + " ".join(sys.argv[1:]),
        }


def text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def read(kind: str, output: str, document: str, error: str) -> dict[str, Any]:
    """Return what a job has left, or the last words of one that left nothing."""
    try:
        if kind == "checks":
            report = json.loads(document)
            return {"checks": report["checks"], "figures": report["figures"]}
        if kind == "text":
            return {"text": output[-4000:]}
        return {kind: json.loads(output.strip().splitlines()[-1])}
    except (ValueError, IndexError, KeyError):
        return {"broken": (error or output).strip()[-400:] or "it left no result"}


def unpack(folder: Path, python: str, place: Path) -> str:
    """Make an environment of the given Python with the packed files at a place; return its Python.

    Checks run isolated, so that PYTHONPATH would not reach them.
    """
    subprocess.run([python, "-m", "venv", "--system-site-packages", str(place)], check=True)
    (site,) = place.glob("lib/python3.*/site-packages")
    for path in sorted(folder.iterdir()):
        if path.suffix in (".whl", ".zip"):
            zipfile.ZipFile(path).extractall(site)
        elif ".tar" in path.name:
            with tarfile.open(path) as archive:
                archive.extractall(site, filter="data")
    return str(place / "bin" / "python")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/gpu/prove.sh", description=__doc__)
    parser.add_argument("out", help="the folder of the results")
    parser.add_argument("--part", choices=("1", "2", "both"), default="both")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--packed", help="a folder of vLLM's files, made by pack.py")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--on-cpu", action="store_true", help="try the kit itself, without a GPU")
    return parser


def main() -> int:
    options = parser().parse_args()
    with tempfile.TemporaryDirectory() as options.place:
        kit = Kit(options)
        for part in (1, 2):
            if options.part in ("both", str(part)):
                kit.carry_out(part)
    print(f"\n{kit.out / 'page.md'}")
    return page.status(kit.results)


if __name__ == "__main__":
    sys.exit(main())
