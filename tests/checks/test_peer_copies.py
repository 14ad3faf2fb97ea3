"""peer_copies: it finds every fault of a copy, also on the CPU, and abandons a copy that hangs."""

from __future__ import annotations

from typing import Any

import pytest

from checks import _pairs
from checks import peer_copies as check
from tests.checks import real
from tests.checks.twins import twin_of

# The code of each wrong copy, and the words with which the check must report it.
WRONG = {
    "d.copy_(s)": "",
    "d.copy_(s); d[len(d) // 2] ^= 1": "GPU 0 to 1: 1 bytes: 1 wrong, the first is byte 0",
    "d.copy_(s); d[-1:] ^= 255 * (len(d) > 2**23)": "8388613 bytes: 1 wrong, the first is byte 8388612",
    "None": "GPU 0 to 1: 1 bytes: 1 wrong",
    "len(s) < 4097 and d.copy_(s); d[:len(d)] = s[0]": "4097 bytes:",
    "d.copy_(s.roll(1))": "4097 bytes:",
    "d.copy_(s); swap(d, 512)": "4097 bytes:",
    "d.copy_(s); swap(d, 65536)": "1048579 bytes:",
    "d.copy_(s); swap(d, 2**20)": "8388613 bytes:",
    "d.copy_(s); beyond(d, 1).fill_(7)": "1 bytes: 1 wrong, the first is byte 1: 7 instead of 165",
    "d.copy_(s); beyond(d, -1).fill_(7)": "1 bytes: 1 wrong, the first is byte -1: 7 instead of 165",
    "old.append(s.clone()); d.copy_(next(o for o in old if len(o) == len(s)))": "GPU 1 to 0: 1 bytes: 1 wrong",
    "fail('an illegal memory access was encountered')": "GPU 0 to 1: an illegal memory access was encountered",
}


@pytest.fixture(scope="module")
def results(real_vllm: real.Vllm) -> dict[str, list[Any]]:
    code = f"""
        import threading
        from checks import peer_copies as check
        def swap(d, size):
            if len(d) >= 2 * size:
                first = d[:size].clone(); d[:size] = d[size:2 * size]; d[size:2 * size] = first
        def beyond(d, step):
            at = d.storage_offset() + (len(d) if step > 0 else step)
            return torch.as_strided(d, (1,), (1,), at)
        def fail(text): raise RuntimeError(text)
        results = {{}}
        for body in {list(WRONG)!r}:
            known = dict(globals(), old=[])
            exec("def copy(d, s):\\n    " + body, known)
            verdict = check.judge(torch, ["cpu", "cpu"], known["copy"], 60.0, [])
            results[body] = verdict.passed, verdict.summary
        check._CASES = ((1, 0, 0),)
        calls = []
        def hang(d, s):
            calls.append(1)
            len(calls) < 2 or threading.Event().wait()
            d.copy_(s)
        verdict = check.judge(torch, ["cpu", "cpu"], hang, 3.0, [])
        results["a hang"] = verdict.passed, verdict.summary
    """
    answer: dict[str, list[Any]] = real_vllm.answers(code)
    return answer


@twin_of("peer_copies")
@pytest.mark.parametrize("body", WRONG)
def test_a_wrong_copy_is_found_out(results: dict[str, list[Any]], body: str) -> None:
    passed, summary = results[body]
    assert passed == (not WRONG[body])
    assert WRONG[body] in summary
    if passed:
        assert summary == "over each of 2 ordered pairs of GPUs 4 copies arrived byte by byte"


def test_a_copy_that_hangs_is_named(results: dict[str, list[Any]]) -> None:
    assert results["a hang"] == [False, "GPU 1 to 0: a copy does not end within 3 s"]


def test_nvlink_without_peer_access_fails_and_pcie_without_it_does_not() -> None:
    access = dict.fromkeys(_pairs.pairs(3), False)
    links = {(0, 1): "NV18", (1, 0): "NV18", (0, 2): "PIX"}
    assert check.missing_access(access, links) == [
        "GPU 0 to 1: joined by NV18, and no peer access",
        "GPU 1 to 0: joined by NV18, and no peer access",
    ]
    assert check.missing_access(dict.fromkeys(_pairs.pairs(3), True), links) == []


def test_links_are_those_of_the_used_gpus() -> None:
    answers: list[dict[str, Any]] = [
        {"a": "0", "b": "2", "kind": "NV4"},
        {"a": "0", "b": "1", "kind": "SYS"},
    ]
    facts = {"gpu_links": {"pairs": answers, "nvswitch": False}}
    assert _pairs.links(facts, ("0", "2")) == {(0, 1): "NV4", (1, 0): "NV4"}
    assert _pairs.links({"gpu_links": {"type": "Missing", "why": "absent"}}, ("0", "2")) == {}
    assert _pairs.links({}, ("0", "2")) == {}


def test_the_hint_has_the_recorded_acs_and_iommu() -> None:
    assert "ACS is on; here the IOMMU is on (92 groups)" in _pairs.describe_suspects(
        {"iommu": {"acs_redirects": True, "groups": 92}}
    )
    assert "here" not in _pairs.describe_suspects({"iommu": {"acs_redirects": None, "groups": 0}})


def test_an_error_of_a_step_is_raised() -> None:
    def steps() -> Any:
        yield "one"
        raise MemoryError("full")

    with pytest.raises(MemoryError):
        _pairs.find_hang(steps(), 60.0)
