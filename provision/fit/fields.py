"""Fields of a config.json under all of their spellings, with one clear sentence for a wrong one."""

from __future__ import annotations

from typing import Any

from provision.errors import UnreadableInput

# Another spelling of a field, in the order in which it is looked for.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim", "model_dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "num_key_value_heads": (
        "num_key_value_heads",
        "num_kv_heads",
        "n_kv_heads",
        "n_head_kv",
        "multi_query_group_num",
        "num_attention_groups",
        "num_query_groups",
    ),
    "head_dim": ("head_dim", "attention_head_dim", "kv_channels", "head_size"),
    "intermediate_size": (
        "intermediate_size",
        "ffn_dim",
        "n_inner",
        "d_ff",
        "ffn_hidden_size",
        "hidden_dim",
    ),
    "vocab_size": ("vocab_size", "padded_vocab_size", "n_vocab"),
    "max_position_embeddings": (
        "max_position_embeddings",
        "n_positions",
        "max_sequence_length",
        "max_seq_len",
        "seq_length",
        "n_ctx",
        "model_max_length",
    ),
    "experts": (
        "num_experts",
        "num_local_experts",
        "n_routed_experts",
        "moe_num_experts",
        "num_routed_experts",
    ),
    "experts_per_token": (
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "moe_topk",
        "moe_k",
        "top_k_experts",
        "moe_top_k",
    ),
    "expert_size": (
        "moe_intermediate_size",
        "expert_ffn_hidden_size",
        "expert_hidden_dim",
        "moe_ffn_hidden_size",
    ),
    "shared_experts": (
        "n_shared_experts",
        "num_shared_experts",
        "num_shared_expert",
        "moe_num_shared_experts",
    ),
    "shared_expert_size": (
        "shared_expert_intermediate_size",
        "shared_intermediate_size",
        "moe_shared_expert_intermediate_size",
    ),
}
# The largest values of any model that was published, with a factor of about ten.
_LARGEST = {
    "num_hidden_layers": 2_000,
    "hidden_size": 1_000_000,
    "num_attention_heads": 10_000,
    "intermediate_size": 10_000_000,
    "vocab_size": 20_000_000,
    "experts": 20_000,
}


class Fields:
    """The fields of one config object; `where` names the file in a complaint."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def find(self, field: str) -> Any:  # noqa: ANN401 - a value of JSON
        """Return the value under any spelling, or None."""
        for name in SPELLINGS.get(field, (field,)):
            if self.values.get(name) is not None:
                return self.values[name]
        return None

    def number(self, field: str, default: int | None = None) -> int:
        """Return a size; raise UnreadableInput where it is missing, or no sensible number."""
        value = self.find(field)
        if isinstance(value, list) and value:  # one number per layer: the most counts
            value = max((item for item in value if isinstance(item, int)), default=None)
        if value is None:
            if default is not None:
                return default
            raise self.wrong(f"has no `{field}`", "a config.json of a language model has it")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
            raise self.wrong(f"`{field}` is {str(value)[:40]!r}, which is no whole number")
        value = int(value)
        if value < 0 or (value == 0 and default is None) or value > _LARGEST.get(field, 10**9):
            raise self.wrong(f"`{field}` is {str(value)[:30]}, which no model has")
        return value

    def text(self, field: str, default: str = "") -> str:
        value = self.find(field)
        return value if isinstance(value, str) else default

    def flag(self, field: str, *, default: bool = False) -> bool:
        value = self.find(field)
        return value if isinstance(value, bool) else default

    def numbers(self, field: str) -> list[int]:
        value = self.find(field)
        return [item for item in value if isinstance(item, int)] if isinstance(value, list) else []

    def words(self, field: str) -> list[str]:
        value = self.find(field)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def part(self, field: str) -> Fields | None:
        value = self.values.get(field)
        return Fields(value, self.where) if isinstance(value, dict) and value else None

    def wrong(
        self, what: str, hint: str = "compare it with the config.json of its publisher"
    ) -> UnreadableInput:
        return UnreadableInput(what, where=self.where, hint=hint)
