"""Checks that no environment variable slows, blinds or misdirects CUDA, torch or vLLM."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from . import _host
from ._contract import Context, Needs
from ._host import Observation

# Yields a problem for each way in which a value does harm on this host.
_Rule = Callable[[str, Context], Iterator[str]]

_CUDA_LIBRARY = re.compile(r"lib(?:cuda|cudart|cublas|cudnn|nccl|nvrtc|cusparse)\w*\.so")
# Folders of a CUDA outside of this environment; /usr/local/nvidia holds a container's driver.
_CUDA_FOLDER = re.compile(
    r"(?<![\w-])cuda(?:-?\d[\d.]*)?(?=/|$)(?!.*/compat/?$)|cudnn|nccl|hpc_sdk|tensorrt",
    re.IGNORECASE,
)
_ON = {"1", "true", "yes", "on", "y"}


def look(context: Context) -> Observation:
    variables = _host.fact(context.facts, "environment")
    problems = [
        f"{name}={value[:60]}: {problem}"
        for name, rule in _RULES.items()
        if (value := variables.get(name)) is not None
        for problem in rule(value, context)
    ]
    present = {name: variables[name] for name in _RULES if name in variables}
    return Observation(
        problems,
        f"none of {len(_RULES)} known variables is set to a harmful value",
        {"looked_at": sorted(_RULES), "set": present},
        "unset it at its source: ~/.bashrc, /etc/profile.d, a module, the image or the "
        "service's unit",
    )


def _visible(value: str, context: Context) -> Iterator[str]:
    count = len(_host.optional_fact(context.facts, "gpus") or [])
    ids = [word.strip() for word in value.split(",")]
    # CUDA reads from the left and stops at the first id that is not valid.
    for at, gpu in enumerate(ids):
        if gpu in {"", "-1"}:
            yield "hides every GPU after it" if at else "hides every GPU"
            return
        if gpu.isdigit() and count and int(gpu) >= count:
            yield f"there is no GPU {gpu}, which hides it and every one after it"
            return
        if not (gpu.isdigit() or gpu.startswith(("GPU-", "MIG-"))):
            yield f"`{gpu}` is neither a number nor a UUID, and CUDA then sees no GPU"
            return
    if len(set(ids)) < len(ids):
        yield "names a GPU twice, and CUDA then sees none"


def _cuda_home(value: str, _: Context) -> Iterator[str]:
    if ":" in value:
        yield "must be one folder, not a list: with a colon in it nothing is found there"
    elif not value.startswith(("/", "~")):
        yield "is not an absolute path"


def _allocator(value: str, context: Context) -> Iterator[str]:
    if len(context.gpus) > 1 and re.search(r"expandable_segments\s*:\s*true", value, re.IGNORECASE):
        yield "expandable segments cannot be shared between GPUs, as vLLM's all-reduce does"


def _library_path(value: str, _: Context) -> Iterator[str]:
    for folder in value.split(":"):
        if folder.rstrip("/").endswith("/stubs"):
            yield f"{folder} holds a stub of libcuda that runs nothing"
        elif _CUDA_FOLDER.search(folder):
            yield f"{folder} comes before the CUDA libraries of the environment"


def _preload(value: str, _: Context) -> Iterator[str]:
    if match := _CUDA_LIBRARY.search(value):
        yield f"loads {match[0]} into every program"


def _python_path(value: str, _: Context) -> Iterator[str]:
    for folder in value.split(":"):
        if re.search(r"(?:site|dist)-packages", folder):
            yield f"the packages in {folder} come before those of the environment"


def _architectures(value: str, context: Context) -> Iterator[str]:
    """Apply to what torch or FlashInfer compiles on this host: it is for these GPUs only."""
    words = re.findall(r"(\d+)\.(\d)[af]?(\+PTX)?", value)
    for gpu in _host.optional_fact(context.facts, "gpus") or []:
        major, _, minor = (gpu["cc"] or "").partition(".")
        if gpu["id"] not in context.gpus or not major or not words:
            continue
        if not any(_serves(word, int(major), int(minor)) for word in words):
            yield (
                f"leaves out GPU {gpu['id']} ({gpu['cc']}): "
                "what is compiled here would not run on it"
            )
            return


def _serves(word: tuple[str, str, str], major: int, minor: int) -> bool:
    built, ptx = (int(word[0]), int(word[1])), bool(word[2])
    return (built[0] == major and built[1] <= minor) or (ptx and built <= (major, minor))


def _if_on(problem: str, *, several: bool = False, any_value: bool = False) -> _Rule:
    """Return the rule for a switch; with `several` it does harm only between GPUs."""

    def rule(value: str, context: Context) -> Iterator[str]:
        is_on = bool(value) if any_value else value.strip().lower() in _ON
        if is_on and (not several or len(context.gpus) > 1):
            yield problem

    return rule


_RULES: dict[str, _Rule] = {
    "CUDA_VISIBLE_DEVICES": _visible,
    "CUDA_HOME": _cuda_home,
    "CUDA_LAUNCH_BLOCKING": _if_on("every kernel waits for the one before: for debugging only"),
    "CUDA_FORCE_PTX_JIT": _if_on("machine code is ignored, and kernels without PTX do not run"),
    "CUDA_DISABLE_PTX_JIT": _if_on("kernels that exist only as PTX do not run"),
    "LD_LIBRARY_PATH": _library_path,
    "LD_PRELOAD": _preload,
    "NCCL_P2P_DISABLE": _if_on("GPUs exchange everything through the host's memory", several=True),
    "NCCL_SHM_DISABLE": _if_on(
        "GPUs exchange through the network what could go through memory", several=True
    ),
    "PYTHONHOME": _if_on("every Python looks for its standard library there", any_value=True),
    "PYTHONPATH": _python_path,
    "PYTORCH_ALLOC_CONF": _allocator,
    "PYTORCH_CUDA_ALLOC_CONF": _allocator,
    "TORCH_CUDA_ARCH_LIST": _architectures,
    "TRITON_INTERPRET": _if_on("Python interprets Triton's kernels instead of compiling them"),
    "VLLM_ATTENTION_BACKEND": _if_on(
        "vLLM ignores it since it takes --attention-backend", any_value=True
    ),
}

CHECK = _host.check(
    look,
    title="Environment variables",
    proves="no environment variable known to harm CUDA, torch or vLLM has a harmful value",
    weight="should",
    needs=Needs(recording=True),
)
