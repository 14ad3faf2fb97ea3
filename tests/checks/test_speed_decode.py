"""speed_decode: reading fewer or other pages fails before anything is timed."""

from __future__ import annotations

from typing import Any

import pytest

from checks import _figures
from checks import speed_decode as check
from tests.checks import real
from tests.checks.twins import twin_of

RIGHT = "book(q, k[t].flatten(1, 2), v[t].flatten(1, 2))"
DECODES = {
    RIGHT: "",
    "book(q, k[t[:, :-1]].flatten(1, 2), v[t[:, :-1]].flatten(1, 2))": "sequence 0: off by",
    "book(q, k[t.sort().values].flatten(1, 2), v[t].flatten(1, 2))": "sequence 0: off by",
    "book(q, k[t[:1].expand_as(t)].flatten(1, 2), v[t[:1].expand_as(t)].flatten(1, 2))": "sequence 3: off by",
    "book(q, k[t].flatten(1, 2), v[t].flatten(1, 2)) * float('nan')": "sequence 0: off by nan",
    "q": "sequence 0: off by",
}


@pytest.fixture(scope="module")
def results(real_vllm: real.Vllm) -> dict[str, Any]:
    code = f"""
        from checks import _numbers, speed_decode as check
        def book(q, k, v):
            return _numbers.attention(torch, q[:, None], k, v, causal=False)[:, 0]
        shape = check.Shape(batch=4, page=16, heads=4, shared=2, width=32)
        results = {{}}
        for body in {list(DECODES)!r}:
            decode = eval("lambda q, k, v, t, used: " + body)
            results[body] = check.measure(torch, "cpu", decode, (64, 128), shape, torch.float32)
    """
    answer: dict[str, Any] = real_vllm.answers(code)
    return answer


@twin_of("speed_decode")
@pytest.mark.parametrize("body", DECODES)
def test_a_wrong_decode_is_found_out(results: dict[str, Any], body: str) -> None:
    problem, reply = results[body]
    if not DECODES[body]:
        assert problem == ""
        assert reply["tokens"]["128"]["bytes_read"] == 2 * 4 * 128 * 2 * 32 * 4
        assert "gb_per_s" in reply
        assert not _figures.problem(reply["figures"])
        assert [(figure["name"], figure["unit"], figure["of"]) for figure in reply["figures"]] == [
            ("decode", "GB/s", {"tokens": "64"}),
            ("decode", "GB/s", {"tokens": "128"}),
        ]
        rate, timed = reply["figures"][1]["value"], reply["tokens"]["128"]
        assert rate * 1000 * timed["median_us"] == pytest.approx(timed["bytes_read"], rel=0.01)
        assert "of_peak" not in reply, "nobody knows the peak of a CPU"
    else:
        assert problem.startswith(f"64 tokens: {DECODES[body]}")
        assert not reply


def test_hopper_takes_flash_attention_3_and_others_2() -> None:
    calls: list[dict[str, Any]] = []

    class Torch:
        int32 = "int32"

        class cuda:  # noqa: N801
            @staticmethod
            def get_device_capability(device: str) -> tuple[int, int]:
                return (9, 0) if device == "cuda:0" else (8, 0)

        @staticmethod
        def arange(*_: Any, **__: Any) -> str:
            return "starts"

    class Flash:
        is_fa_version_supported = staticmethod(lambda _: True)
        flash_attn_varlen_func = staticmethod(lambda **given: calls.append(given))

    class Pages:
        shape = (16, 16, 8, 128)

    for device in ("cuda:0", "cuda:1"):
        check.vllm_decode(Torch, device, Flash)(Pages, Pages, Pages, Pages, "used")
    assert [call["fa_version"] for call in calls] == [3, 2]
    assert calls[0]["max_seqlen_k"] == 256
    assert (calls[0]["seqused_k"], calls[0]["cu_seqlens_q"]) == ("used", "starts")
