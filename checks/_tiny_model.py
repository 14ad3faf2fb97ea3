"""A Llama of two megabytes: its files, its right answers, and the settings to run it offline."""

from __future__ import annotations

import json
import os
from pathlib import Path

from . import _tiny_weights
from ._contract import Context

# transformers reads these when it is imported; later they have no effect.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
NAME = "tiny-llama"
WORDS = _tiny_weights.WORDS
SEED = _tiny_weights.SEED
CONTEXT = 256
ROPE_THETA, NORM_EPS = 10000.0, 1e-6
TOKENS = 12
# The first choice of every token leads the second by at least this part of the logits' spread:
# ten times the error of bfloat16, so that no rounding decides a token.
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
    # From "float32" vLLM chooses the half precision that the device has.
    "torch_dtype": "float32",
}
# A chat is the bare text of its messages, so it has the same answer as a completion of that text.
_CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def _prompt(name: str, length: int) -> tuple[int, ...]:
    """Return pseudo-random tokens without the special ones."""
    special = len(_tiny_weights.SPECIAL)
    data = _tiny_weights.pseudo_random_bytes(name, length)
    return tuple(special + byte % (WORDS - special) for byte in data)


# The numbers in the names were searched for: few prompts have the margin in every token of their
# answer. The third and fourth answers cross a block of 128 tokens, two prompts begin alike (for
# the prefix cache), and five do not fit into a batch of four.
_PREFIX = _prompt("shared", 144)
PROMPTS = (
    _prompt("short 3105", 7),
    _prompt("middle 673", 26),
    _prompt("long 452", 120),
    _PREFIX + _prompt("one 2514", 5),
    _PREFIX + _prompt("other 6116", 5),
)
# Computed in 64 bits by _plain_llama.py; the tests compute them again.
ANSWERS = (
    (49, 170, 36, 221, 152, 247, 115, 235, 227, 132, 14, 40),
    (79, 151, 43, 247, 153, 122, 176, 75, 211, 185, 194, 152),
    (182, 50, 192, 9, 120, 106, 46, 17, 9, 176, 209, 198),
    (140, 155, 167, 107, 208, 137, 216, 151, 17, 17, 96, 47),
    (30, 25, 215, 251, 67, 194, 194, 194, 194, 224, 74, 46),
)


def make(scratch: str) -> str:
    """Write the model below `scratch` and return its folder."""
    folder = Path(scratch) / NAME
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(
        _tiny_weights.safetensors(_tiny_weights.make_tensors())
    )
    documents = {
        "config": _CONFIG,
        "generation_config": {"bos_token_id": 1, "eos_token_id": 2},
        "tokenizer_config": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "chat_template": _CHAT,
        },
        "tokenizer": _tokenizer(),
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return str(folder)


def text(tokens: tuple[int, ...]) -> str:
    return " ".join(f"w{token}" for token in tokens)


def _tokenizer() -> dict[str, object]:
    """Return a tokenizer with one token per word, in the format of the tokenizers library."""
    special = _tiny_weights.SPECIAL
    words = [*special, *(f"w{number}" for number in range(len(special), WORDS))]
    flags = {
        **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
        "special": True,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": word, **flags} for number, word in enumerate(special)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(words)},
            "unk_token": "<pad>",
        },
    }


def settings(context: Context) -> dict[str, object]:
    """Return settings as vLLM's LLM takes them; options of the command line have the same names."""
    return {
        "dtype": "float32" if context.profile == "cpu" else "auto",
        "seed": SEED,
        "max_model_len": CONTEXT,
        "max_num_seqs": 4,
        "gpu_memory_utilization": 0.2,
        # Without a limit it would divide that memory into millions of blocks, which takes seconds.
        "num_gpu_blocks_override": 1024,
        "enforce_eager": True,
    }


def environment(scratch: str) -> dict[str, str]:
    """Return variables for no network, little memory, and caches that go away with `scratch`."""
    return {
        **offline_environment(scratch),
        # FlashInfer would compile its sampler again in each of these caches; flashinfer_compiles
        # is the check for that.
        "VLLM_USE_FLASHINFER_SAMPLER": os.environ.get("VLLM_USE_FLASHINFER_SAMPLER", "0"),
        "VLLM_CACHE_ROOT": f"{scratch}/vllm",
        # One for all checks of a run, since nvcc takes minutes.
        "FLASHINFER_WORKSPACE_BASE": os.environ.get("FLASHINFER_WORKSPACE_BASE", scratch),
        "TRITON_CACHE_DIR": f"{scratch}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/inductor",
        "MPLCONFIGDIR": f"{scratch}/matplotlib",
    }


def offline_environment(scratch: str) -> dict[str, str]:
    """Return variables for no network and little memory; caches of compiled code stay as set."""
    return {
        **OFFLINE,
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HOME": scratch,
        "TMPDIR": scratch,
        "XDG_CACHE_HOME": f"{scratch}/cache",
        "XDG_CONFIG_HOME": f"{scratch}/config",
        "HF_HOME": f"{scratch}/huggingface",
        "VLLM_CONFIG_ROOT": f"{scratch}/vllm-config",
    }


def apply_environment(scratch: str) -> None:
    """Set those variables in this process, and have vLLM run its engine inside it."""
    os.environ.update(environment(scratch))
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
