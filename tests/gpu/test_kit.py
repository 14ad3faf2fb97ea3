"""The proof kit without a GPU: its order, its limits, its page, and what an interruption leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.checks import real
from tests.gpu import pack, page, prove

KIT = real.ROOT / "tests" / "gpu" / "prove.sh"


def test_the_whole_kit_on_a_cpu(real_vllm: real.Vllm, tmp_path: Path) -> None:
    argv = [
        str(KIT),
        str(tmp_path / "out"),
        "--on-cpu",
        "--repeats",
        "1",
        "--python",
        real_vllm.python,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    jobs = [json.loads(line)["job"] for line in lines]
    assert jobs == [
        *("versions", "kernels of torch", "fused", "controls", "speeds", "bare figures"),
        *("several", "again 1"),
    ]
    text = (tmp_path / "out" / "page.md").read_text()
    assert "| controls |" in text
    assert "| repetitions without a false verdict | 1 of 1 |" in text
    assert "| a tile of a product times 1.01 | fail | fail |" in text
    assert "## Figures beside a bare script" in text


def kit(folder: Path, *words: str) -> prove.Kit:
    options = prove.parser().parse_args([str(folder), "--python", sys.executable, *words])
    options.place = str(folder / "place")
    return prove.Kit(options)


def job(name: str, code: str, limit_s: float = 20.0, kind: str = "rows") -> prove.Job:
    return prove.Job(name, kind, [sys.executable, "-c", code], limit_s)


def test_what_hangs_or_breaks_ends_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"name": "x", "expected": "fail", "outcome": "pass", "worst": 0.5, "text": ""}
    jobs = [
        job("hangs", "import time; time.sleep(60)", 0.5),
        job("breaks", "raise SystemExit('no driver')"),
        job("wrong", f"print({json.dumps(json.dumps([row]))})"),
    ]
    made = kit(tmp_path)
    monkeypatch.setattr(made, "part_1", lambda: iter(jobs))
    made.carry_out(1)
    assert [page.outcome(result) for result in made.results] == [
        "broken: it left no result",
        "broken: no driver",
        "0 of 1 as expected",
    ]
    assert page.status(made.results) == 1
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 3


def test_a_job_without_time_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(prove.LIMITS_S, 1, 5.0)
    made = kit(tmp_path)
    monkeypatch.setattr(made, "part_1", lambda: iter([job("late", "")]))
    made.carry_out(1)
    assert page.outcome(made.results[0]) == "not tried: no time was left in part 1"
    assert page.status(made.results) == 5


def test_the_jobs_of_a_gpu_host(tmp_path: Path) -> None:
    made = kit(tmp_path)
    made.uuid = "1f3a"
    jobs = {each.name: each for each in made.part_1()}
    assert list(jobs)[2:7] == [
        *("kernels of torch", "fused", "controls", "quick profile", "speeds"),
    ]
    assert jobs["by its UUID"].env == {"CUDA_VISIBLE_DEVICES": "GPU-1f3a"}
    assert sum(name.startswith("again") for name in jobs) == 5
    made.results = [{"checks": [{"name": "matmul", "outcome": "fail"}]}]
    assert [each.name for each in made.part_2()] == ["once more: matmul"]


def test_part_2_alone_repeats_what_failed_in_part_1(tmp_path: Path) -> None:
    result = {"part": 1, "job": "kernels", "kind": "checks"}
    failed = {**result, "checks": [{"name": "sdpa", "outcome": "fail"}], "figures": []}
    (tmp_path / "results.jsonl").write_text(json.dumps(failed) + "\n")
    assert [each.name for each in kit(tmp_path, "--part", "2").part_2()] == ["once more: sdpa"]
    assert kit(tmp_path, "--part", "1").results == []


def test_the_page_says_how_far_a_figure_is_from_the_bare_script() -> None:
    figure = {
        "check": "speed_copy",
        "name": "copy in GPU memory",
        "of": {"on": "GPU 0"},
        "value": 4200.0,
        "unit": "GB/s",
    }
    results: list[dict[str, Any]] = [
        {"part": 1, "job": "speeds", "kind": "checks", "checks": [], "figures": [figure]},
        {"part": 1, "job": "bare", "kind": "figures", "figures": {"copy in GPU memory": 4000.0}},
    ]
    text = page.text(results, {"date": "today", "host": "here", "command": "prove.sh"})
    assert "| copy in GPU memory | 4200 GB/s | 4000 | +5.0% |" in text
    assert "| figures within 3% of the bare script | at most 5.0% apart |" in text


def test_a_wheel_is_packed_and_unpacked(tmp_path: Path) -> None:
    wheel = tmp_path / "vllm.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("vllm/_C.abi3.so", "vllm/_moe_C.abi3.so", "vllm/a/b.py", "other/c.py"):
            archive.writestr(name, name)
        archive.writestr("vllm-0.25.1.dist-info/METADATA", "Name: vllm\n")
    pack.pack(wheel, tmp_path / "packed")
    with tarfile.open(tmp_path / "packed" / "kernels.tar.xz") as part:
        assert part.getnames() == ["vllm/_C.abi3.so"]
    python = Path(prove.unpack(tmp_path / "packed", sys.executable, tmp_path / "env"))
    (site,) = python.parents[1].glob("lib/python3.*/site-packages")
    assert (site / "vllm/_C.abi3.so").read_text() == "vllm/_C.abi3.so"
    assert (site / "vllm/a/b.py").exists()
    assert not (site / "vllm/_moe_C.abi3.so").exists()
