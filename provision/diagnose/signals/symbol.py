"""A symbol that a library lacks: who asked for it, and which library should have had it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

_MESSAGE = re.compile(
    r"(?:(?P<library>[^\s:'\"(]+\.(?:so|pyd)[\w.]*)['\"]?:? ?\(?)?(?:symbol lookup error: \S+ )?(?:undefined symbol|symbol not found(?: in flat namespace)?):? ?['\"(]?(?P<symbol>[\w@]*)['\")]?(?:,? version (?P<version>lib[\w.+-]+))?",
    re.IGNORECASE,
)
_OWNERS = (
    ("flash-attn", r"flash_attn_[23]?_?cuda|flash_attn_3|site-packages/flash_attn|dist-packages/flash_attn|fused_dense_lib|rotary_emb|dropout_layer_norm|xentropy_cuda_lib|flash_attn_2_cuda"),
    ("vllm", r"packages/vllm/|/vllm/(?:vllm/)?_|vllm/vllm_flash_attn|vllm_flash_attn|_moe_C|_vllm_fa|cumem_allocator|vllm/\w+\.(?:abi3|cpython)|vllm\._C|_C_stable_libtorch|_flashmla"),
    ("torchvision", r"torchvision|torchaudio|torchcodec"),
    ("torch", r"libtorch|libc10|/torch/lib/|torch/_C"),
    ("nvidia", r"lib(?:cu|nccl|nv)[\w+.-]*\.so"),
    ("extension", r"\.(?:so|pyd)"),
)  # fmt: skip
_KINDS = (
    ("nccl", r"p?nccl[A-Z]"),
    ("nvjitlink", r"_*nvJitLink"),
    ("nvrtc", r"nvrtc"),
    ("driver", r"cu(?:TensorMap|Get|Mem|Stream|Launch|Device|Ctx|Module|Multicast|Kernel|Library|Graph|Init|Event|Link|Func|Pointer|Occupancy|Coredump|Green|Array|Texture)[A-Z]?\w*$"),
    ("cuda-library", r"(?:__)?cuda[A-Z_]|cublas|cudnn|cusparse|cusolver|cufft|curand|cupti|cufile"),
    ("nvml", r"nvml"),
    ("torch", r"_ZNK?R?(?:St\w*?)?(?:2at|3c10|5torch|6caffe2|4c10d)|_Z\w*(?:3c10|2at6|5torch)|aoti_torch|THP"),
    ("python", r"_?Py[A-Z_]"),
)  # fmt: skip


def read(text: str) -> Iterator[dict[str, str]]:
    for match in _MESSAGE.finditer(text):
        symbol, library = match["symbol"], match["library"] or ""
        yield {
            "symbol": symbol,
            "name": demangled(symbol),
            "kind": next((kind for kind, shape in _KINDS if re.match(shape, symbol)), "other")
            if symbol
            else "cut off",
            "owner": next(
                (owner for owner, shape in _OWNERS if re.search(shape, library)), "unnamed"
            ),
            "library": library.rpartition("/")[2],
            "abi": "old" if _is_old_abi(symbol) else "new" if "__cxx11" in symbol else "",
        }


def _is_old_abi(symbol: str) -> bool:
    """Return whether a mangled name passes std::string as it was before the C++11 ABI (`Ss`)."""
    return (
        symbol.startswith("_Z")
        and re.search(r"(?:RK|E|K)?Ss(?:b|i|S|$|R|P|j|m|l)", symbol) is not None
    )


def demangled(symbol: str) -> str:
    """Return the C++ name inside a mangled symbol, without its arguments."""
    match = re.match(r"_ZNK?R?((?:\d+\w+)+)", symbol)
    if not match:
        return symbol
    rest, names = match[1], []
    while number := re.match(r"\d+", rest):
        length = int(number[0])
        name = rest[number.end() : number.end() + length]
        if len(name) < length:
            break
        names.append(name)
        rest = rest[number.end() + length :]
    return "::".join(names) or symbol


READER = Reader(
    name="symbol", words=("undefined symbol", "symbol not found", "symbol lookup"), read=read
)
