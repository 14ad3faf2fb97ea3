"""The numeric checks with simulated tensor cores in the place of a GPU, sound and faulty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from checks import (
    _flash_attn,
    _forward_and_backward,
    _numbers,
    matmul,
    sdpa,
    vllm_paged_attention,
    vllm_quantised_matmul,
)
from tests.checks import tensor_cores
from tests.checks.tensor_cores import TensorCore

# Sums that kernels split stay long; rows and columns need not be many.
SMALL_PRODUCTS = ((64, 1024, 64), (33, 1031, 35), (64, 8192, 64), (1, 4096, 1000))
FP8_BITS, FP8_GROUP = 14, 32

Judgement = Callable[[], tuple[str, dict[str, Any]]]


def cores(torch: Any) -> dict[str, TensorCore]:
    """Return tensor cores with the fewest and the most bits that GPUs of today have."""
    return {
        "22 bits": TensorCore(torch, bits=22, group=4),
        "24 bits": TensorCore(torch, bits=24, group=16),
    }


def sound(torch: Any, core: TensorCore, widths: tuple[int, ...]) -> Iterator[tuple[str, Judgement]]:
    """Yield the judgements of kernels that compute as sound ones do."""
    attend = tensor_cores.attention(core)
    narrow = torch.float8_e4m3fn
    fp8 = scaled_product(TensorCore(torch, FP8_BITS, FP8_GROUP))
    by_hand = vllm_quantised_matmul.quantise_by_hand
    yield "product", lambda: matmul.judge(torch, tensor_cores.product(core), "cpu")
    split = tensor_cores.split_product(core, in_half=False)
    yield "product split in 32 bits", lambda: matmul.judge(torch, split, "cpu")
    yield (
        "fp8 product with 13 bits",
        lambda: vllm_quantised_matmul.judge(
            torch, "cpu", narrow, lambda rows: by_hand(torch, rows, narrow), fp8
        ),
    )
    yield (
        "int8 product",
        lambda: vllm_quantised_matmul.judge(
            torch, "cpu", torch.int8, lambda rows: by_hand(torch, rows, torch.int8), exact_product
        ),
    )
    yield "SDPA", lambda: sdpa.judge(torch, as_sdpa(attend), "cpu", {"simulated": ""})
    for width in widths:
        yield (
            f"attention and gradients, {width} wide",
            lambda width=width: judge_attention(  # type: ignore[misc]
                torch, attend, width
            ),
        )
    yield (
        "attention of varied lengths",
        lambda: _numbers.judge_cases(
            torch, _flash_attn.varied_length_cases(torch, as_varied(torch, attend), "cpu")
        ),
    )
    yield (
        "paged attention",
        lambda: vllm_paged_attention.judge(
            torch, "cpu", {"simulated": as_paged(torch, attend)}, 16
        ),
    )


def faulty(torch: Any, core: TensorCore) -> Iterator[tuple[str, Judgement]]:
    """Yield the judgements of kernels with one planted fault each."""
    multiply, attend = tensor_cores.product(core), tensor_cores.attention(core)
    halves = tensor_cores.split_product(core, in_half=True)
    yield "product split in halves", lambda: matmul.judge(torch, halves, "cpu")
    yield (
        "a tile of a product times 1.01",
        lambda: matmul.judge(torch, lambda *given: torn(multiply(*given), 1.01), "cpu"),
    )
    narrow = torch.float8_e4m3fn
    fp8 = scaled_product(TensorCore(torch, FP8_BITS, FP8_GROUP))
    yield (
        "a tile of an fp8 product times 1.01",
        lambda: _numbers.judge_cases(
            torch,
            vllm_quantised_matmul._product_cases(
                torch, "cpu", narrow, lambda *given: torn(fp8(*given), 1.01)
            ),
            vllm_quantised_matmul._FP8_TOLERANCE,
        ),
    )

    def torn_attention(*given: Any, causal: bool) -> Any:
        return torn(attend(*given, causal=causal).transpose(1, 2), 1.01).transpose(1, 2)

    yield (
        "a tile of SDPA times 1.01",
        lambda: sdpa.judge(torch, as_sdpa(torn_attention), "cpu", {"simulated": ""}),
    )
    yield (
        "a tile of attention times 1.01",
        lambda: judge_attention(torch, torn_attention, 64, "float16"),
    )
    for at, letter in enumerate("qkv"):
        yield (
            f"a tile of the gradient of {letter} times 1.02",
            lambda at=at: judge_attention(torch, torn_gradient(torch, attend, at), 64, "float16"),  # type: ignore[misc]
        )

    def blind(*given: Any, causal: bool) -> Any:  # noqa: ARG001 - that is the fault
        return attend(*given, causal=False)

    yield "a causal mask that hides nothing", lambda: judge_attention(torch, blind, 64, "float16")


def judge_attention(
    torch: Any, attend: Any, width: int, *precisions: str
) -> tuple[str, dict[str, Any]]:
    variants = _forward_and_backward.Variants(precisions or ("float16", "bfloat16"), (width,))
    return _forward_and_backward.judge(
        torch, _forward_and_backward.cases(torch, attend, "cpu", variants)
    )


def torn(answer: Any, factor: float) -> Any:
    """Return an answer with one tile of 16 x 16 that is off."""
    answer = answer.clone()
    answer[..., -16:, -16:] *= factor
    return answer


def torn_gradient(torch: Any, attend: Any, at: int) -> Any:
    class Torn(torch.autograd.Function):  # type: ignore[misc] # torch is an argument
        @staticmethod
        def forward(ctx: Any, tensor: Any) -> Any:  # noqa: ARG004 - torch's signature
            return tensor.clone()

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:  # noqa: ARG004 - as above
            return torn(upstream.transpose(1, 2), 1.02).transpose(1, 2)

    def attention(*tensors: Any, causal: bool) -> Any:
        inputs = [Torn.apply(each) if number == at else each for number, each in enumerate(tensors)]
        return attend(*inputs, causal=causal)

    return attention


def scaled_product(core: TensorCore) -> Any:
    def multiply(left: Any, by_row: Any, right: Any, by_column: Any, dtype: Any) -> Any:
        return (core.multiply(left, right) * by_row * by_column).to(dtype)

    return multiply


def exact_product(left: Any, by_row: Any, right: Any, by_column: Any, dtype: Any) -> Any:
    """Return a product of int8: the sums are exact in 32 bits."""
    return ((left.double() @ right.double()).float() * by_row * by_column).to(dtype)


def as_sdpa(attend: Any) -> Any:
    def sdpa_like(query: Any, key: Any, value: Any, *, is_causal: bool, enable_gqa: bool) -> Any:  # noqa: ARG001 - torch's names
        if is_causal:  # torch's mask lets the first query see the first key alone
            key, value = (tensor[:, :, : query.shape[2]] for tensor in (key, value))
        tensors = (tensor.transpose(1, 2) for tensor in (query, key, value))
        return attend(*tensors, causal=is_causal).transpose(1, 2)

    return sdpa_like


def as_varied(torch: Any, attend: Any) -> Any:
    def varied(
        query: Any, key: Any, value: Any, starts: Any, ends: Any, *_: int, causal: bool
    ) -> Any:
        queries, keys = (each.tolist() for each in (starts, ends))
        return torch.cat(
            [
                attend(query[None, a:b], key[None, c:d], value[None, c:d], causal=causal)[0]
                for a, b, c, d in zip(queries, queries[1:], keys, keys[1:], strict=False)
            ]
        )

    return varied


def as_paged(torch: Any, attend: Any) -> Any:
    def paged(batch: Any) -> Any:
        queries = batch.query.split(tuple(batch.starts.diff().tolist()))
        lengths = tuple(batch.lengths.tolist())
        rows = zip(queries, batch.key.split(lengths), batch.value.split(lengths), strict=True)
        return torch.cat([attend(*(each[None] for each in row), causal=True)[0] for row in rows])

    return paged
