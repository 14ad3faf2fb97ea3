"""A Llama of a few hundred kilobytes made on the spot, and the settings under which vLLM answers without a network."""

from __future__ import annotations

import json
import os
from pathlib import Path

WORDS = 256
SEED = 0
CONTEXT = 128
PROMPTS = ([3, 5, 8, 13, 21, 34, 55, 89], [7, 11, 13, 17])

_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": WORDS,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    # vLLM then takes the half precision that the device has
    "torch_dtype": "float32",
}


def make(scratch: str) -> str:
    """The model's folder; it has no weights, vLLM makes them up from the seed."""
    folder = Path(scratch) / "tiny-llama"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"})
    )
    words = ["<pad>", "<s>", "</s>", *(f"w{number}" for number in range(3, WORDS))]
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(words)))
    return str(folder)


def _tokenizer(words: list[str]) -> dict[str, object]:
    """The tokenizers library's own format: one word, one token."""
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": words[number], **special} for number in range(3)],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: at for at, word in enumerate(words)}, "unk_token": "<pad>"},
    }


def environment(scratch: str) -> dict[str, str]:
    """No network, little memory, and every cache where it goes away afterwards."""
    return {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HOME": scratch,
        "TMPDIR": scratch,
        "XDG_CACHE_HOME": f"{scratch}/cache",
        "XDG_CONFIG_HOME": f"{scratch}/config",
        "HF_HOME": f"{scratch}/huggingface",
        "VLLM_CACHE_ROOT": f"{scratch}/vllm",
        "VLLM_CONFIG_ROOT": f"{scratch}/vllm-config",
        "FLASHINFER_WORKSPACE_BASE": scratch,
        "TRITON_CACHE_DIR": f"{scratch}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/inductor",
        "MPLCONFIGDIR": f"{scratch}/matplotlib",
    }


def settle(scratch: str) -> None:
    """This process answers under those settings, vLLM's engine inside it."""
    os.environ.update(environment(scratch))
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
