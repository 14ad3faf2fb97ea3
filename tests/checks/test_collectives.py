"""collectives: right values pass; lost or wrong values fail; a hang is named and ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks import _ranks
from checks import collectives as check
from provision.engine import launch_checks
from tests.checks import real
from tests.checks.twins import twin_of

HEALTHY = _ranks.GroupRun(outcome="healthy", problem="")
HANGS = _ranks.GroupRun(
    outcome="hangs", problem="all-reduce of 16 MiB in float32 hangs on all 4 GPUs"
)
WRONG = _ranks.GroupRun(
    outcome="wrong data", problem="all-reduce of 16 MiB in float32 is wrong on GPU 2: 7 numbers"
)
DIED = _ranks.GroupRun(outcome="died", problem="GPU 1 was killed by SIGBUS in joining the others")


def judged(
    first: _ranks.GroupRun, control: _ranks.GroupRun, facts: dict[str, Any] | None = None
) -> Any:
    tried: list[dict[str, str]] = []

    def one(number: int, environment: dict[str, str]) -> _ranks.GroupRun:
        tried.append(environment)
        return (first, control)[number - 1]

    results = check.judge(one, "nccl", 4, facts or {})
    assert tried == ([{}] if first.outcome == "healthy" else [{}, {"NCCL_P2P_DISABLE": "1"}])
    return results


def test_the_example_of_the_readme_needs_torch_only() -> None:
    words = (
        (launch_checks.CHECKS / "README.md")
        .read_text()
        .split("nvcr.io/nvidia/pytorch", 1)[1]
        .split("--json")[0]
    )
    known = {item.name: item for item in launch_checks.discover()}
    tried = [known[word] for word in words.split() if word in known]
    assert "collectives" in [item.name for item in tried]
    assert {package for item in tried for package in item.needs.packages} == {"torch"}


def test_a_hang_that_ends_without_peer_to_peer_is_blamed_on_it() -> None:
    results = judged(HANGS, HEALTHY, {"iommu": {"acs_redirects": True}})
    assert not results.passed
    assert (
        results.summary
        == f"{HANGS.problem}; it works with NCCL_P2P_DISABLE=1: peer-to-peer is broken"
    )
    assert "here ACS is on" in results.hint
    assert results.evidence["with NCCL_P2P_DISABLE=1"]["outcome"] == "healthy"


@twin_of("collectives")
@pytest.mark.parametrize(
    ("first", "control", "says"),
    [
        (
            HANGS,
            HANGS,
            f"the same with NCCL_P2P_DISABLE=1, so it is not peer-to-peer: {HANGS.problem}",
        ),
        (
            WRONG,
            WRONG,
            f"the same with NCCL_P2P_DISABLE=1, so it is not peer-to-peer: {WRONG.problem}",
        ),
        (WRONG, HEALTHY, "it works with NCCL_P2P_DISABLE=1: peer-to-peer is broken"),
        (HANGS, WRONG, f"otherwise with NCCL_P2P_DISABLE=1: {WRONG.problem}"),
        (HANGS, DIED, f"inconclusive: with NCCL_P2P_DISABLE=1 {DIED.problem}"),
        (DIED, DIED, f"inconclusive: with NCCL_P2P_DISABLE=1 {DIED.problem}"),
    ],
)
def test_the_control_decides(first: _ranks.GroupRun, control: _ranks.GroupRun, says: str) -> None:
    results = judged(first, control)
    assert (results.passed, results.summary) == (False, f"{first.problem}; {says}")
    assert results.hint


def test_a_healthy_group_is_not_run_again() -> None:
    results = judged(
        _ranks.GroupRun(outcome="healthy", problem="", messages=[[{"version": "2.27.3"}]]), HANGS
    )
    assert results.passed
    assert results.summary.endswith("up to 16 MiB are right on 4 GPUs (NCCL 2.27.3)")


def lines(*at: str) -> list[dict[str, Any]]:
    return [{"at": item} for item in at]


def test_ranks_that_are_behind_are_named() -> None:
    ahead, behind = lines("start", "joining", "all-reduce of 4 B"), lines("start", "joining")
    assert _ranks.describe_hang([ahead, ahead], "nccl") == "all-reduce of 4 B hangs on all 2 GPUs"
    assert (
        _ranks.describe_hang([ahead, behind, ahead], "nccl")
        == "GPU 1 hangs in joining, the others are at all-reduce of 4 B"
    )
    assert (
        _ranks.describe_hang([behind, [], []], "gloo")
        == "process 1, 2 hangs in starting, the others are at joining"
    )


# What each twin does in rank 1, before or in place of a collective; and what is said of it.
TWINS = {
    "pass": ("healthy", ""),
    "late()": ("healthy", ""),
    "patch('reduce_scatter_single', lambda real, to, x: (real(to, x), time.sleep(0.3)))": (
        "healthy",
        "",
    ),
    "patch('all_reduce', lambda real, x, **k: (real(x, **k), x.add_(x.numel() == 1)))": (
        "wrong data",
        "all-reduce of 4 B in float32 is wrong on process 1: 1 of 1 numbers are wrong, number 0 is 16777216 instead of 16777215",
    ),
    "patch('all_reduce', lambda real, x, **k: real(x.mul_(1 + (len(x) > 1)), **k))": (
        "wrong data",
        "all-reduce of 1 MiB in float32 is wrong on all 2 processes: ",
    ),
    "patch('all_reduce', lambda real, x, **k: real(x.mul_(len(x) == 1), **k))": (
        "wrong data",
        "instead of 16777215: the part of rank 1 is missing",
    ),
    "patch('all_reduce', lambda real, x, **k: (real(x, **k), swap(x)))": (
        "wrong data",
        "all-reduce of 1 MiB in float32 is wrong on process 1: ",
    ),
    "patch('reduce_scatter_single', lambda real, to, x: (real(to, x), to.copy_(to.roll(1))))": (
        "wrong data",
        "reduce-scatter of 1 MiB in float32 is wrong on process 1: ",
    ),
    "patch('all_gather_single', lambda real, to, x: real(to, x.roll(1)))": (
        "wrong data",
        "all-gather of 1 MiB in float32 is wrong on all 2 processes: ",
    ),
    "patch('all_reduce', lambda real, x, **k: (real(x, **k), x.fill_(float('nan'))))": (
        "wrong data",
        "is nan instead",
    ),
    "patch('all_reduce', lambda *_, **k: wait())": (
        "hangs",
        "all-reduce of 4 B in float32 hangs on all 2 processes",
    ),
    "patch('reduce_scatter_single', lambda *_: wait())": (
        "hangs",
        "reduce-scatter of 1 MiB in float32 hangs on all 2 processes",
    ),
    "patch('init_process_group', lambda *_, **k: wait())": (
        "hangs",
        "joining the others hangs on all 2 processes",
    ),
    "patch('all_reduce', lambda *_, **k: os.kill(os.getpid(), 11))": (
        "died",
        "process 1 was killed by SIGSEGV in all-reduce of 4 B in float32",
    ),
    "patch('all_reduce', lambda *_, **k: 1 / 0)": (
        "died",
        "process 1 ended with status 1 in all-reduce of 4 B in float32: ZeroDivisionError: division by zero",
    ),
}


def test_a_full_gpu_is_an_error_and_no_failure(real_vllm: real.Vllm, tmp_path: Path) -> None:
    """NCCL's first line does not tell."""
    code = """
        import os
        from pathlib import Path
        from checks import _rank, _ranks
        import torch.distributed as distributed
        def full(*_, **k):
            raise RuntimeError("NCCL error in: x.cpp:1, unhandled cuda error\\nncclUnhandledCudaError: failed.\\n"
                               "Last error:\\nCuda failure 2 'out of memory'\\nException raised from x")
        def start(asked, environment):
            if pid := os.fork():
                return pid
            try:
                distributed.init_process_group = full
                _rank.main(asked)
            finally:
                os._exit(1)
        try:
            _ranks.run_group({"backend": "gloo", "count": 2}, Path(sys.argv[1]) / "0", {}, start=start)
        except MemoryError as problem:
            results = str(problem)
    """
    result: str = real_vllm.answers(code, str(tmp_path))
    assert result.startswith("a GPU has too little free memory for a small check: process ")
    assert result.endswith("Last error: Cuda failure 2 'out of memory'")


@pytest.fixture(scope="module")
def results(real_vllm: real.Vllm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Every twin in processes that are forked from one that has imported torch."""
    code = f"""
        import os, threading, time, traceback
        from pathlib import Path
        from checks import _rank, _ranks, _processes
        import torch.distributed as distributed
        def patch(name, function):
            real = getattr(distributed, name)
            setattr(distributed, name, lambda *given, **k: function(real, *given, **k))
        def wait(): threading.Event().wait()
        def late(): time.sleep(1)
        def swap(x):
            if len(x) > 1:
                x.copy_(torch.cat([x[1024:2048], x[:1024], x[2048:]]))
        _rank._STEPS = [(kind, precision, min(size, 2**20)) for kind, precision, size in _rank._STEPS]
        results = {{}}
        for number, twin in enumerate({list(TWINS)!r}):
            def start(asked, environment):
                if pid := os.fork():
                    return pid
                try:
                    os.environ.update(environment)
                    torch.set_num_threads(1)
                    if asked["rank"] == 1: exec(twin, globals())
                    _rank.main(asked)
                finally:
                    os._exit(1)
            patience = _ranks.Patience(step_s=4.0 if "wait" in twin else 60.0)
            tried = _ranks.run_group({{"backend": "gloo", "count": 2}}, Path(sys.argv[1]) / str(number), {{}},
                              start=start, patience=patience)
            results[twin] = [tried.outcome, tried.problem, sorted(_processes.descendants().values())]
    """
    answer: dict[str, list[Any]] = real_vllm.answers(code, str(tmp_path_factory.mktemp("ranks")))
    return answer


@pytest.mark.parametrize("twin", TWINS)
def test_each_planted_fault_has_its_outcome(results: dict[str, list[Any]], twin: str) -> None:
    how, what, left = results[twin]
    assert (how, left) == (TWINS[twin][0], [])
    assert TWINS[twin][1] in what


def test_values_show_lost_and_doubled_parts_for_any_number_of_ranks(real_vllm: real.Vllm) -> None:
    code = """
        from checks import _rank
        results = []
        for count in (2, 3, 4, 8, 11):
            for exact in (24, 11):
                digits = exact // count
                whole = _rank.values(torch, 4096, digits * count)
                parts = [_rank.part(whole, rank, digits) for rank in range(count)]
                assert sum(parts).equal(whole) and int(whole.max()) < 2 ** exact
                for rank in range(count):
                    lost = _rank.difference((whole - parts[rank]).double(), whole, digits, count)
                    twice = _rank.difference((whole + parts[rank]).double(), whole, digits, count)
                    results.append(f"part of rank {rank} is missing" in lost and f"part of rank {rank} came twice" in twice)
        steps = [len(_rank.steps(count)) for count in (2, 11, 12, 24)]
        results = [all(results), steps]
    """
    assert real_vllm.answers(code) == [True, [5, 5, 4, 4]]


def test_it_runs_on_a_cpu_as_the_launcher_tries_it(brought_up: real.BroughtUp) -> None:
    result = brought_up.check("collectives")
    assert (result.outcome, result.summary) == (
        "pass",
        "all-reduce, all-gather and reduce-scatter up to 16 MiB are right on 2 processes (gloo)",
    )
    assert result.evidence["try"]["ranks_reached"] == ["the end", "the end"]
    assert "left_running" not in result.evidence
