"""Whether no environment variable of this user makes CUDA, torch or vLLM slow, blind or take other libraries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from . import _host
from ._contract import Check, Context, Needs
from ._host import Found

_CUDA_LIBRARY = re.compile(r"lib(?:cuda|cudart|cublas|cudnn|nccl|nvrtc|cusparse)\w*\.so")
# Folders of a CUDA that is not this environment's; /usr/local/nvidia is where containers have the driver.
_CUDA_FOLDER = re.compile(
    r"(?<![\w-])cuda(?:-?\d[\d.]*)?(?=/|$)(?!.*/compat/?$)|cudnn|nccl|hpc_sdk|tensorrt", re.IGNORECASE
)
_ON = {"1", "true", "yes", "on", "y"}


def look(context: Context) -> Found:
    variables = _host.fact(context.facts, "environment")
    problems = [
        f"{name}={value[:60]}: {why}"
        for name, judge in _RULES.items()
        if (value := variables.get(name)) is not None
        for why in judge(value, context)
    ]
    evidence = {"looked_at": sorted(_RULES), "set": {name: variables[name] for name in _RULES if name in variables}}
    hint = "unset it where it is set: ~/.bashrc, /etc/profile.d, a module, the image or the service's unit"
    return Found(problems, f"none of {len(_RULES)} variables that do harm is set to do it", evidence, hint)


def _visible(value: str, context: Context) -> Iterator[str]:
    here = len(_host.known(context.facts, "gpus") or [])
    ids = [word.strip() for word in value.split(",")]
    for one in ids:
        if one in {"", "-1"}:
            yield "hides every GPU" if one == ids[0] else "hides every GPU after it"
            return
        if one.isdigit() and here and int(one) >= here:
            yield f"there is no GPU {one}, which hides it and every one after it"
            return
        if not (one.isdigit() or one.startswith(("GPU-", "MIG-"))):
            yield f"`{one}` is neither a number nor a UUID, and CUDA then sees no GPU"
            return
    if len(set(ids)) < len(ids):
        yield "names a GPU twice, and CUDA then sees none"


def _cuda_home(value: str, context: Context) -> Iterator[str]:  # noqa: ARG001 - every rule is called alike
    if ":" in value:
        yield "is one folder, not a list: with a colon in it nothing is found there"
    elif not value.startswith(("/", "~")):
        yield "is no absolute path"


def _allocator(value: str, context: Context) -> Iterator[str]:
    if len(context.gpus) > 1 and re.search(r"expandable_segments\s*:\s*true", value, re.IGNORECASE):
        yield "memory that grows in segments cannot be shared between GPUs as vLLM's all-reduce does"


def _library_path(value: str, context: Context) -> Iterator[str]:  # noqa: ARG001
    for folder in value.split(":"):
        if folder.rstrip("/").endswith("/stubs"):
            yield f"{folder} holds a libcuda that runs nothing"
        elif _CUDA_FOLDER.search(folder):
            yield f"{folder} comes before the CUDA libraries of the environment"


def _preload(value: str, context: Context) -> Iterator[str]:  # noqa: ARG001
    if found := _CUDA_LIBRARY.search(value):
        yield f"forces {found[0]} upon every program"


def _python_path(value: str, context: Context) -> Iterator[str]:  # noqa: ARG001
    for folder in value.split(":"):
        if re.search(r"(?:site|dist)-packages", folder):
            yield f"the packages in {folder} come before those of the environment"


def _arch_list(value: str, context: Context) -> Iterator[str]:
    """What is compiled on this host, by torch or FlashInfer, is for these architectures only."""
    words = re.findall(r"(\d+)\.(\d)[af]?(\+PTX)?", value)
    for gpu in _host.known(context.facts, "gpus") or []:
        major, _, minor = (gpu["cc"] or "").partition(".")
        if gpu["id"] not in context.gpus or not major or not words:
            continue
        if not any(_serves(word, int(major), int(minor)) for word in words):
            yield f"leaves out GPU {gpu['id']} ({gpu['cc']}): what is compiled here would not run on it"
            return


def _serves(word: tuple[str, str, str], major: int, minor: int) -> bool:
    built, ptx = (int(word[0]), int(word[1])), bool(word[2])
    return (built[0] == major and built[1] <= minor) or (ptx and built <= (major, minor))


def _when(on: set[str], why: str, *, several: bool = False) -> Callable[[str, Context], Iterator[str]]:
    def judge(value: str, context: Context) -> Iterator[str]:
        if value.strip().lower() in on and (not several or len(context.gpus) > 1):
            yield why

    return judge


def _always(why: str) -> Callable[[str, Context], Iterator[str]]:
    def judge(value: str, context: Context) -> Iterator[str]:  # noqa: ARG001
        if value:
            yield why

    return judge


_RULES: dict[str, Callable[[str, Context], Iterator[str]]] = {
    "CUDA_VISIBLE_DEVICES": _visible,
    "CUDA_HOME": _cuda_home,
    "CUDA_LAUNCH_BLOCKING": _when(_ON, "every kernel waits for the one before: for debugging only"),
    "CUDA_FORCE_PTX_JIT": _when(_ON, "machine code is passed over, and kernels without PTX do not run"),
    "CUDA_DISABLE_PTX_JIT": _when(_ON, "kernels that came as PTX do not run"),
    "LD_LIBRARY_PATH": _library_path,
    "LD_PRELOAD": _preload,
    "NCCL_P2P_DISABLE": _when(_ON, "GPUs exchange everything through the host's memory", several=True),
    "NCCL_SHM_DISABLE": _when(_ON, "GPUs exchange through the network what could go through memory", several=True),
    "PYTHONHOME": _always("every Python looks for its standard library there"),
    "PYTHONPATH": _python_path,
    "PYTORCH_ALLOC_CONF": _allocator,
    "PYTORCH_CUDA_ALLOC_CONF": _allocator,
    "TORCH_CUDA_ARCH_LIST": _arch_list,
    "TRITON_INTERPRET": _when(_ON, "Triton's kernels are interpreted by Python instead of compiled"),
    "VLLM_ATTENTION_BACKEND": _always("vLLM passes it over since it takes --attention-backend"),
}

CHECK = Check(
    name="environment_harmless",
    title="Environment variables",
    proves="no environment variable that is known to do harm to CUDA, torch or vLLM is set to do it",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=Needs(recording=True),
    body=_host.judged(look),
)
