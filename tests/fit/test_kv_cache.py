"""fit/kv_cache.py: groups and blocks, beside figures that vLLM printed or that its source implies."""

from __future__ import annotations

import pytest

from provision.fit import kv_cache
from provision.fit._model import Cache, Layer, Model
from provision.fit.kv_cache import Rules
from tests.fit import runs

GIB = 2**30


def model(*kinds: str, window: int = 1024, kv_heads: int = 8) -> Model:
    """A model with layers of these kinds, and no weights."""
    state = Cache(kind="state", states=((1000, None),))
    layers = tuple(
        Layer(
            matrices=(),
            cache=state
            if kind == "state"
            else Cache(
                kind=kind,  # type: ignore[arg-type]
                kv_heads=kv_heads,
                width=256,
                window=0 if kind == "full" else window,
            ),
        )
        for kind in kinds
    )
    return Model(
        name="m",
        architecture="M",
        model_type="m",
        dtype="bfloat16",
        hidden=64,
        vocabulary=64,
        heads=kv_heads,
        kv_heads=kv_heads,
        head_size=128,
        intermediate=64,
        positions=8192,
        tied=True,
        layers=layers,
        first=(),
        last=(),
    )


def pool(of: Model, rules: Rules | None = None, **layout: int) -> kv_cache.Pool:
    result = kv_cache.pool(of, rules or Rules(), "bfloat16", **layout)  # type: ignore[arg-type]
    assert result is not None
    return result


def test_equal_layers_are_one_group() -> None:
    one = pool(model("full", "full"))
    assert len(one.groups) == 1
    assert one.block_bytes == (16 * 8 * 256 * 2 * 2,)
    assert one.per_request(17) == 2


@pytest.mark.parametrize(("tensor", "share"), [(2, 2), (8, 8), (16, 8)])
def test_a_head_of_keys_is_never_divided(tensor: int, share: int) -> None:
    whole = pool(model("full")).block_bytes[0]
    assert pool(model("full"), tensor=tensor).block_bytes == (whole // share,)


def test_layers_of_five_to_one_form_groups_of_the_fewer_kind() -> None:
    grouped = pool(runs.model("gemma-3-4b-it"))
    assert [group.kind for group in grouped.groups].count("full") == 1
    assert [group.kind for group in grouped.groups].count("sliding") == 6
    assert grouped.blocks(62.51 * GIB) == pytest.approx(204817, rel=0.0002)


def test_a_little_more_of_one_kind_is_padded_instead_of_split() -> None:
    kinds = ["full"] * 12 + ["sliding"] * 13
    assert len(pool(model(*kinds), Rules(pad_factor=1.5)).groups) == 2
    assert len(pool(model(*kinds), Rules(pad_factor=1.0)).groups) == 3


def test_without_groups_a_sliding_layer_keeps_all() -> None:
    old = pool(model("full", "sliding"), Rules(hybrid=False))
    assert [group.kind for group in old.groups] == ["full"]


def test_a_sliding_window_holds_the_batch_on_its_way() -> None:
    one = pool(model("sliding"), Rules(in_flight=2048))
    assert one.per_request(100_000) == (1023 + 2048 + 15) // 16 + 1
    assert one.per_request(160) == 11


def test_states_take_blocks_and_set_the_size_of_a_block() -> None:
    qwen = pool(runs.model("Qwen3.8-27B"), tensor=2)
    assert {group.block for group in qwen.groups} == {784}
    assert len(qwen.groups) == 4
    # 161 blocks and 123,399 tokens at 122,633 are what vLLM 0.23.1 printed for 3.86 GiB.
    blocks = qwen.blocks(3.86 * GIB)
    assert blocks == 161
    assert int(qwen.concurrency(blocks, 122633) * 122633) == 123399
    assert qwen.longest(blocks, 262144) == 123872


def test_latent_attention_is_not_divided() -> None:
    deepseek = runs.model("DeepSeek-V2-Lite-Chat")
    assert pool(deepseek).block_bytes == pool(deepseek, tensor=4).block_bytes
    assert kv_cache.bytes_per_token(deepseek, 1, "bfloat16", "auto") == 31104


def test_the_cache_dtype_counts_and_not_that_of_the_weights() -> None:
    llama = runs.model("Llama-3.1-8B-Instruct")
    assert kv_cache.bytes_per_token(llama, 1, "bfloat16", "fp8") == 65536
    assert kv_cache.bytes_per_token(llama, 1, "float32", "auto") == 262144


def test_the_longest_request_leaves_the_null_block() -> None:
    one = pool(model("full"))
    assert one.longest(10, 8192) == 160
    assert pool(model("full"), Rules(null_block=True)).longest(10, 8192) == 144
    assert one.longest(0, 8192) == 0
    assert one.longest(10_000, 8192) == 8192


def test_stages_hold_their_own_layers() -> None:
    llama = runs.model("Llama-3.1-8B-Instruct")
    assert len(set(pool(llama, pipeline=4).block_bytes)) == 1
    uneven = pool(model(*["full"] * 5), pipeline=2).block_bytes
    assert uneven[0] == 1.5 * uneven[1]


def test_a_model_without_attention_keeps_states_only() -> None:
    only = pool(model("state", "state"))
    assert only.per_request(100_000) == 1
    assert kv_cache.pool(model(), Rules(), "bfloat16") is None
