"""A Llama of two megabytes made on the spot, what it answers, and how vLLM is made to run it without a network."""

from __future__ import annotations

import json
import os
from pathlib import Path

from . import _tiny_weights
from ._contract import Context

# Read when transformers is imported; later it is too late.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
NAME = "tiny-llama"
WORDS = _tiny_weights.WORDS
SEED = _tiny_weights.SEED
CONTEXT = 256
ROPE_THETA, NORM_EPS = 10000.0, 1e-6
TOKENS = 12
# The first choice of every token leads the second by this much of the logits' spread, ten times what bfloat16 costs.
MARGIN = 0.2

_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": WORDS,
    "hidden_size": _tiny_weights.HIDDEN,
    "intermediate_size": _tiny_weights.INNER,
    "num_hidden_layers": _tiny_weights.LAYERS,
    "num_attention_heads": _tiny_weights.HEADS,
    "num_key_value_heads": _tiny_weights.SHARED,
    "head_dim": _tiny_weights.SIZE,
    "hidden_act": "silu",
    "rms_norm_eps": NORM_EPS,
    "rope_theta": ROPE_THETA,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    # vLLM then takes the half precision that the device has
    "torch_dtype": "float32",
}
# The words of a chat are those of its messages, so it is answered as the same words are completed.
_CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def _prompt(name: str, length: int) -> tuple[int, ...]:
    """Words that mean nothing, special tokens left out."""
    silent = len(_tiny_weights.SPECIAL)
    return tuple(silent + byte % (WORDS - silent) for byte in _tiny_weights.some_bytes(name, length))


# The numbers were searched for: few prompts are answered with the margin in every token. The answers of the third
# and the fourth cross a block of 128 words, two begin alike, and five do not fit into a batch of four.
_ALIKE = _prompt("shared", 144)
PROMPTS = (
    _prompt("short 3105", 7),
    _prompt("middle 673", 26),
    _prompt("long 452", 120),
    _ALIKE + _prompt("one 2514", 5),
    _ALIKE + _prompt("other 6116", 5),
)
# As the tests compute them in 64 bits, by _plain_llama.py.
ANSWERS = (
    (49, 170, 36, 221, 152, 247, 115, 235, 227, 132, 14, 40),
    (79, 151, 43, 247, 153, 122, 176, 75, 211, 185, 194, 152),
    (182, 50, 192, 9, 120, 106, 46, 17, 9, 176, 209, 198),
    (140, 155, 167, 107, 208, 137, 216, 151, 17, 17, 96, 47),
    (30, 25, 215, 251, 67, 194, 194, 194, 194, 224, 74, 46),
)


def make(scratch: str) -> str:
    """The model's folder."""
    folder = Path(scratch) / NAME
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    (folder / "model.safetensors").write_bytes(_tiny_weights.safetensors(_tiny_weights.made()))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2}))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "chat_template": _CHAT}))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer()))
    return str(folder)


def text(tokens: tuple[int, ...]) -> str:
    return " ".join(f"w{token}" for token in tokens)


def _tokenizer() -> dict[str, object]:
    """The tokenizers library's own format: one word, one token."""
    words = [*_tiny_weights.SPECIAL, *(f"w{number}" for number in range(len(_tiny_weights.SPECIAL), WORDS))]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": word, **flags} for number, word in enumerate(_tiny_weights.SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: at for at, word in enumerate(words)}, "unk_token": "<pad>"},
    }


def settings(context: Context) -> dict[str, object]:
    """How an engine runs it, as vLLM's LLM takes them; the command line has the same names."""
    return {
        "dtype": "float32" if context.profile == "cpu" else "auto",
        "seed": SEED,
        "max_model_len": CONTEXT,
        "max_num_seqs": 4,
        "gpu_memory_utilization": 0.2,
        # Of that share it takes no more: of so small a cache it would make millions of blocks, which takes seconds.
        "num_gpu_blocks_override": 1024,
        "enforce_eager": True,
    }


def environment(scratch: str) -> dict[str, str]:
    """No network, little memory, and every cache where it goes away afterwards."""
    return {
        **OFFLINE,
        "VLLM_NO_USAGE_STATS": "1",
        # FlashInfer would compile its sampler anew in each of these caches; whether it can is another check's claim.
        "VLLM_USE_FLASHINFER_SAMPLER": os.environ.get("VLLM_USE_FLASHINFER_SAMPLER", "0"),
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
