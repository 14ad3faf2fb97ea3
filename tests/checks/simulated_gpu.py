"""Simulated GPUs, so that every line of a check for GPUs runs in every test, on the CPU.

This module runs beside a real torch, in a process of its own: `install()` replaces `torch.cuda`.
A tensor on a GPU is a tensor on the CPU that knows the number of its GPU. As on a GPU, a call
whose tensors lie on different devices is an error. Calls advance a clock of their own, by the time
that memory, tensor cores and links of the product would take. Not simulated: the numbers of real
kernels, their streams, and memory that is in use.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import inspect
import itertools
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from types import ModuleType, SimpleNamespace
from typing import Any

torch: Any = importlib.import_module("torch")
_leaves: Any = importlib.import_module("torch.utils._pytree").tree_leaves
_Mode: Any = importlib.import_module("torch.overrides").TorchFunctionMode

_DEVICE, _IS_CUDA = torch.Tensor.device.__get__, torch.Tensor.is_cuda.__get__
_NAME = re.compile(r"(cuda|cpu)(:\d+)?")
# These make, parse or compare devices, and compute on none.
_ABOUT_DEVICES = (
    torch.device,
    torch._C._nn._parse_to,
    torch._has_compatible_shallow_copy_type,
)
# Their tensors may lie on different devices, and the result lies where the first one does.
_MIXING = {"copy_", "__getitem__", "__setitem__"}
_PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "linear"}
# These wait for the GPU, which a stream that is captured may not do.
_WAITING = {
    "item",
    "cpu",
    "tolist",
    "numpy",
    "nonzero",
    "equal",
    "__float__",
    "__int__",
    "__bool__",
}
# A call reaches this part of the peak. Links in bytes per second.
_OF_PEAK, _HOST_LINK, _PEER_LINK, _BUS = 0.85, 55e9, 350e9, 470e9


@dataclass(frozen=True)
class Product:
    """A GPU as torch and its data sheet describe it; the clock is in kHz, as torch has it."""

    name: str
    memory_gib: int
    memory_clock: int
    bus_bits: int
    tflops: float
    integrated: bool = False

    @property
    def bandwidth(self) -> float:
        return 2 * self.memory_clock * 1000 * self.bus_bits / 8


PRODUCTS = {
    (7, 0): Product("Tesla V100-SXM2-32GB", 32, 877_000, 4096, 112),
    (7, 5): Product("Tesla T4", 15, 5_001_000, 256, 65),
    (8, 0): Product("NVIDIA A100-SXM4-80GB", 80, 1_593_000, 5120, 312),
    (8, 6): Product("NVIDIA A10", 24, 6_251_000, 384, 125),
    (8, 9): Product("NVIDIA L40S", 48, 9_001_000, 384, 362),
    (9, 0): Product("NVIDIA H100 80GB HBM3", 80, 2_619_000, 5120, 989),
    (10, 0): Product("NVIDIA B200", 180, 3_996_000, 8192, 2250),
    (12, 0): Product("NVIDIA RTX PRO 6000 Blackwell Server Edition", 96, 14_001_000, 512, 503),
    (12, 1): Product("NVIDIA GB10", 120, 4_266_000, 256, 125, integrated=True),
}


def gpu_of(tensor: Any) -> int | None:
    """Return the number of the GPU that a tensor lies on; None for the CPU."""
    number: int | None = getattr(tensor, "simulated_gpu", None)
    return number


def _device_name(number: int | None) -> str:
    return "cpu" if number is None else f"cuda:{number}"


class SimulatedGpus(_Mode):  # type: ignore[misc] # torch has no types here
    """All GPUs of the host; a mode of torch, which intercepts every call in its threads."""

    def __init__(self) -> None:
        super().__init__()
        self.become((9, 0))

    def become(self, *capabilities: tuple[int, int], free: int = 0) -> None:
        """Be other GPUs, as a new process finds them; `free` is the memory that each has left."""
        self.capabilities, self.free = capabilities, free
        self.products = [PRODUCTS[capability] for capability in capabilities]
        self.current, self.initialized = 0, False
        self.seconds, self.allocated = 0.0, 0
        self.slow: dict[int, float] = {}  # the part of its speed that a GPU has
        self.graph: list[Any] | None = None  # the graph that is being captured
        self.profile: list[str] | None = None  # the kernels of the profile that is being made

    def number(self, device: Any = None) -> int | None:
        """Return the number of a GPU, by any of the words that torch takes for it."""
        if device is None or isinstance(device, int):
            number = self.current if device is None else device
        else:
            device = torch.device(device)
            if device.type != "cuda":
                return None
            number = self.current if device.index is None else device.index
        if not 0 <= number < len(self.products):
            raise RuntimeError("CUDA error: invalid device ordinal")
        return int(number)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _ABOUT_DEVICES:
            return func(*args, **kwargs)
        if func == _DEVICE and gpu_of(args[0]) is not None:
            return torch.device("cuda", gpu_of(args[0]))
        if func == _IS_CUDA:
            return gpu_of(args[0]) is not None
        if func.__name__ == "__set__":  # tensor.data = other
            args[0].simulated_gpu = gpu_of(args[1])
            return func(*args, **kwargs)
        if func.__name__ == "pin_memory":
            return args[0].clone()
        if func.__name__ == "scaled_dot_product_attention":
            return self._torch_attention(func, args, kwargs)
        return self.launch(func, args, kwargs)

    def launch(
        self, func: Any, args: Any, kwargs: Any, *, name: str = "", passes: float = 1.0
    ) -> Any:
        """Call a function as the GPU of its tensors would; it reads and writes them so often."""
        name = name or func.__name__
        inputs = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        home = self._home(name, inputs)
        args, kwargs, target = self._split_device(name, args, kwargs, home)
        if self.graph is not None and home is not None and name in _WAITING:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        with torch._C.DisableTorchFunction():  # also in the code of a stand-in
            result = func(*args, **kwargs)
            if target != home and any(result is tensor for tensor in inputs):
                result = result.clone()  # on the CPU .to() had nothing to do
        outputs = [leaf for leaf in _leaves(result) if isinstance(leaf, torch.Tensor)]
        for tensor in outputs:
            tensor.simulated_gpu = target
        if all(gpu_of(tensor) is None for tensor in (*inputs, *outputs)):
            return result
        self.initialized = True
        if result is not None and all(_is_view(tensor, inputs) for tensor in outputs):
            return result  # views and sizes are known without the GPU
        self.allocated += sum(map(_bytes, outputs))
        self.seconds += passes * self._duration(name, inputs, outputs)
        if self.profile is not None:
            self.profile.append(f"void simulated::{name}_kernel")
        if self.graph is not None:
            self.graph.append((func, args, kwargs, result))
        return result

    def _home(self, name: str, inputs: list[Any]) -> int | None:
        """Return the GPU that a call runs on. Raise RuntimeError if its tensors lie on several."""
        if name in _MIXING:
            return gpu_of(inputs[0])
        # A number may come from the CPU.
        places = {gpu_of(tensor) for tensor in inputs if tensor.dim()}
        places |= {gpu_of(tensor) for tensor in inputs} - {None}
        if len(places) > 1:
            names = " and ".join(sorted(map(_device_name, places)))
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two: {names} "
                f"(when calling {name})"
            )
        return next(iter(places), None)

    def _split_device(
        self, name: str, args: Any, kwargs: Any, home: int | None
    ) -> tuple[Any, Any, int | None]:
        """Return the arguments for the CPU, and the device that the result lies on."""
        devices = [argument for argument in args if _is_device(argument)]
        devices += [kwargs["device"]] if kwargs.get("device") is not None else []
        args = tuple("cpu" if _is_device(argument) else argument for argument in args)
        if "device" in kwargs:
            kwargs["device"] = "cpu"
        kwargs.pop("pin_memory", None)
        target = self.number(devices[0]) if devices else home
        return args, kwargs, None if name == "cpu" else target

    def _duration(self, name: str, inputs: list[Any], outputs: list[Any]) -> float:
        """Return the seconds that the slowest part of a call takes."""
        tensors = {id(tensor): tensor for tensor in (*inputs, *outputs)}.values()
        places = {gpu_of(tensor) for tensor in tensors}
        gpu = min(place for place in places if place is not None)
        product, part = self.products[gpu], self.slow.get(gpu, 1.0)
        if len(places) > 1:
            rate = _HOST_LINK if None in places else _PEER_LINK
            return max(map(_bytes, tensors)) / rate / part
        seconds = sum(map(_bytes, tensors)) / (product.bandwidth * _OF_PEAK)
        if name in _PRODUCTS and outputs:
            operations = 2 * outputs[0].numel() * inputs[0].shape[-1]
            seconds = operations / (product.tflops * 1e12 * _OF_PEAK)
        return float(seconds / part)

    def _torch_attention(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Take the first backend that is switched on and supports the case, as torch does."""
        query, key = args[:2]
        if (gpu := gpu_of(query)) is None:
            return self.launch(func, args, kwargs)
        causal = kwargs.get("is_causal", False)
        grouped = kwargs.get("enable_gqa", False)
        square = query.shape[-2] == key.shape[-2]
        new, plain = self.capabilities[gpu] >= (8, 0), kwargs.get("attn_mask") is None
        enabled = torch._C
        # Each with the passes over its tensors: cuDNN is the fastest.
        backends = (
            ("cudnn_fprop", enabled._get_cudnn_sdp_enabled() and new and plain, 1.0),
            (
                "flash_fwd",
                enabled._get_flash_sdp_enabled() and new and plain and (square or not causal),
                2.0,
            ),
            ("fmha_cutlass", enabled._get_mem_efficient_sdp_enabled() and not grouped, 3.0),
            ("softmax_math", enabled._get_math_sdp_enabled(), 50.0),
        )
        for name, takes, passes in backends:
            if takes:
                return self.launch(_sdpa, args, kwargs, name=name, passes=passes)
        raise RuntimeError("No available kernel. Aborting execution.")


def _is_device(argument: Any) -> bool:
    if isinstance(argument, str):
        return bool(_NAME.fullmatch(argument))
    return isinstance(argument, torch.device)


def _is_view(tensor: Any, inputs: list[Any]) -> bool:
    """Return whether a result is a part of an input, and not an input that was changed."""
    if any(tensor is other for other in inputs):
        return False
    return any(
        tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
        for other in inputs
    )


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def install() -> SimulatedGpus:
    """Replace torch.cuda in this process, and return the GPUs. They are one H100 at first."""
    gpus = SimulatedGpus()
    _replace(torch.cuda, _functions(gpus))
    _replace(torch.profiler, {"profile": partial(_Profile, gpus)})
    _replace(torch, {"compile": _compile})
    _replace(torch.cuda.nccl, {"version": lambda: (2, 29, 7)})
    run = threading.Thread.run

    def run_with_gpus(thread: threading.Thread) -> None:
        with gpus:  # a mode is a thread's own
            run(thread)

    _replace(threading.Thread, {"run": run_with_gpus})
    gpus.__enter__()
    return gpus


def _replace(module: Any, replacements: dict[str, Any]) -> None:
    for name, replacement in replacements.items():
        getattr(module, name)  # AttributeError if torch itself has no such name
        setattr(module, name, replacement)


def _functions(gpus: SimulatedGpus) -> dict[str, Any]:
    def number(device: Any) -> int:
        found = gpus.number(device)
        if found is None:
            raise ValueError(f"Expected a cuda device, but got: {device}")
        return found

    def set_device(device: Any) -> None:
        gpus.current, gpus.initialized = number(device), True

    def mem_get_info(device: Any = None) -> tuple[int, int]:
        total = gpus.products[number(device)].memory_gib * 2**30
        return gpus.free or total * 9 // 10, total

    def synchronize(device: Any = None) -> None:
        number(device)
        if gpus.graph is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    def reset_peak_memory_stats(device: Any = None) -> None:
        number(device)
        gpus.allocated = 0

    return {
        "is_available": lambda: bool(gpus.products),
        "is_initialized": lambda: gpus.initialized,
        "device_count": lambda: len(gpus.products),
        "current_device": lambda: gpus.current,
        "set_device": set_device,
        "synchronize": synchronize,
        "get_device_capability": lambda device=None: gpus.capabilities[number(device)],
        "get_device_name": lambda device=None: _properties(gpus, device).name,
        "get_device_properties": partial(_properties, gpus),
        "can_device_access_peer": lambda one, other: gpus.number(one) != gpus.number(other),
        "mem_get_info": mem_get_info,
        "max_memory_allocated": lambda device=None: gpus.allocated * (number(device) >= 0),
        "reset_peak_memory_stats": reset_peak_memory_stats,
        "manual_seed_all": lambda seed: None,  # noqa: ARG005 - torch.manual_seed seeds the CPU
        "device": partial(_on_device, gpus),
        "Event": partial(_Event, gpus),
        "Stream": _Stream,
        "stream": contextlib.nullcontext,
        "current_stream": lambda device=None: _Stream(gpus.number(device)),
        "CUDAGraph": _Graph,
        "graph": partial(_capture, gpus),
    }


def _properties(gpus: SimulatedGpus, device: Any = None) -> Any:
    number = gpus.number(device)
    if number is None:
        raise ValueError(f"Invalid device argument {device}: expected a CUDA device")
    product, (major, minor) = gpus.products[number], gpus.capabilities[number]
    return SimpleNamespace(
        name=product.name,
        major=major,
        minor=minor,
        total_memory=product.memory_gib * 2**30,
        memory_clock_rate=product.memory_clock,
        memory_bus_width=product.bus_bits,
        is_integrated=int(product.integrated),
        uuid=f"00000000-0000-0000-0000-{number:012}",
        pci_domain_id=0,
        pci_bus_id=16 + number,
        pci_device_id=0,
    )


@contextlib.contextmanager
def _on_device(gpus: SimulatedGpus, device: Any) -> Iterator[None]:
    before, gpus.current = gpus.current, gpus.number(device) or 0
    try:
        yield
    finally:
        gpus.current = before


class _Event:
    def __init__(self, gpus: SimulatedGpus, *, enable_timing: bool = False) -> None:
        self._gpus, self._timed = gpus, enable_timing
        self._recorded: float | None = None

    def record(self, stream: Any = None) -> None:  # noqa: ARG002 - torch's signature
        self._recorded = self._gpus.seconds

    def elapsed_time(self, end: _Event) -> float:
        """Return the milliseconds between two recorded events."""
        if not self._timed or self._recorded is None or end._recorded is None:
            raise ValueError("Both events should be created with argument 'enable_timing=True'.")
        return (end._recorded - self._recorded) * 1000


class _Stream:
    """A stream whose work ends at once."""

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def wait_stream(self, stream: _Stream) -> None:
        if not isinstance(stream, _Stream):
            raise TypeError(f"{stream!r} is no stream")

    def synchronize(self) -> None:
        """Wait for nothing."""


class _Graph:
    """The calls that were captured; a replay computes them again and writes into their results."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def replay(self) -> None:
        with torch._C.DisableTorchFunction():
            for func, args, kwargs, result in self.calls:
                for old, new in zip(_leaves(result), _leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(old, torch.Tensor) and old is not new:
                        old.copy_(new)


@contextlib.contextmanager
def _capture(gpus: SimulatedGpus, graph: _Graph) -> Iterator[None]:
    gpus.graph = graph.calls
    try:
        yield
    finally:
        gpus.graph = None


class _Profile:
    """A profile that knows the names of the calls that ran on a GPU."""

    def __init__(self, gpus: SimulatedGpus, activities: Any) -> None:
        self._gpus, self._names = gpus, list[str]()
        self._on_gpu = torch.profiler.ProfilerActivity.CUDA in activities

    def __enter__(self) -> _Profile:  # noqa: PYI034 - typing has Self since 3.11
        self._gpus.profile = self._names if self._on_gpu else None
        return self

    def __exit__(self, *_: object) -> None:
        self._gpus.profile = None

    def events(self) -> list[Any]:
        kind = torch.autograd.DeviceType.CUDA
        return [
            SimpleNamespace(name=name, device_type=kind, cpu_children=[]) for name in self._names
        ]


def _compile(function: Any, **_: Any) -> Any:
    """Stand in for torch.compile, which would compile for the CPU: count, and compute as it is."""
    importlib.import_module("torch._dynamo.utils").counters["stats"]["unique_graphs"] += 1
    return function


def _sdpa(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Compute attention in 32 bits; heads come before rows. Causal: the first sees the first."""
    if dropout_p or (key.shape[1] != query.shape[1] and not enable_gqa):
        raise RuntimeError("The size of tensor a must match the size of tensor b at dimension 1")
    shared = query.shape[1] // key.shape[1]
    wide = query.float(), *(each.float().repeat_interleave(shared, 1) for each in (key, value))
    scores = wide[0] @ wide[1].transpose(-1, -2) * (scale or query.shape[-1] ** -0.5)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    return (torch.softmax(scores, -1) @ wide[2]).to(query.dtype)


# Packages with code for GPUs, which the CPU's environment lacks.


def _attend(query: Any, key: Any, value: Any, *, causal: bool) -> Any:
    """Compute attention in 32 bits; rows come before heads. Causal: the last sees the last."""
    rows, keys = query.shape[1], key.shape[1]
    mask = torch.ones(rows, keys, dtype=torch.bool).tril(keys - rows) if causal else None
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    return _sdpa(query, key, value, attn_mask=mask, enable_gqa=True).transpose(1, 2)


def _varlen(
    q: Any,
    k: Any,
    v: Any,
    cu_seqlens_q: Any,
    cu_seqlens_k: Any = None,
    max_seqlen_q: int = 0,
    max_seqlen_k: int = 0,
    causal: bool = False,
    seqused_k: Any = None,
    block_table: Any = None,
    **_: Any,
) -> Any:
    """Compute attention of sequences one behind the other, or with keys in pages."""
    starts = cu_seqlens_q.tolist()
    if int(max(b - a for a, b in itertools.pairwise(starts))) > max_seqlen_q:
        raise RuntimeError("max_seqlen_q is less than the longest sequence")
    if block_table is None:
        ranges = [slice(*pair) for pair in itertools.pairwise(cu_seqlens_k.tolist())]
        keys, values = ([tensor[part] for part in ranges] for tensor in (k, v))
    else:
        lengths = seqused_k.tolist()
        keys, values = (
            [
                tensor[pages.long()].flatten(0, 1)[:length]
                for pages, length in zip(block_table, lengths, strict=True)
            ]
            for tensor in (k, v)
        )
    if max(map(len, keys)) > max_seqlen_k:
        raise RuntimeError("max_seqlen_k is less than the longest sequence")
    return torch.cat(
        [
            _attend(q[None, begin:end], key[None], value[None], causal=causal)[0]
            for (begin, end), key, value in zip(
                itertools.pairwise(starts), keys, values, strict=True
            )
        ]
    )


def _with_kvcache(
    q: Any,
    k_cache: Any,
    v_cache: Any,
    k: Any,
    v: Any,
    *,
    cache_seqlens: Any,
    block_table: Any = None,
    causal: bool,
) -> Any:
    """Append keys and values to each sequence of a cache, and attend to all of them."""
    answers = []
    for number, length in enumerate(cache_seqlens.tolist()):
        whole = []
        for cache, rows in ((k_cache, k), (v_cache, v)):
            pages = [number] if block_table is None else block_table[number].tolist()
            for place, row in enumerate(rows[number], length):
                cache[pages[place // cache.shape[1]], place % cache.shape[1]] = row
            whole.append(torch.cat([cache[page] for page in pages])[: length + rows.shape[1]][None])
        answers.append(_attend(q[number][None], *whole, causal=causal))
    return torch.cat(answers)


def install_flash_attn(gpus: SimulatedGpus) -> None:
    """Install stand-ins for the packages flash-attn 2, 3 and 4."""
    plain = _kernel(
        gpus, "flash_fwd", lambda *inputs, causal=False: _attend(*inputs, causal=causal)
    )

    def varlen(
        q: Any,
        k: Any,
        v: Any,
        cu_seqlens_q: Any,
        cu_seqlens_k: Any,
        max_q: int,
        max_k: int,
        *,
        causal: bool,
    ) -> Any:
        return _varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, max_q, max_k, causal)

    two = {
        "__version__": "2.8.3",
        "flash_attn_func": plain,
        "flash_attn_varlen_func": _kernel(gpus, "flash_fwd", varlen),
        "flash_attn_with_kvcache": _kernel(gpus, "flash_fwd_splitkv", _with_kvcache),
    }
    _module("flash_attn", two)
    _module("flash_attn_2_cuda", {})
    _module("flash_attn_interface", {"flash_attn_func": plain})
    # Some releases also return the logarithms of the sums.
    _module(
        "flash_attn.cute",
        {"flash_attn_func": lambda *given, causal: (plain(*given, causal=causal), None)},
    )


def install_vllm(gpus: SimulatedGpus) -> None:
    """Replace vLLM's operators; a call must fit the signature of vLLM's own wrapper, if any."""
    operators = importlib.import_module("vllm._custom_ops")
    for function in (
        rms_norm,
        fused_add_rms_norm,
        rotary_embedding,
        reshape_and_cache_flash,
        cutlass_scaled_mm,
        scaled_fp8_quant,
        scaled_int8_quant,
    ):
        _stand_in(gpus, operators, function)
    fp8 = {"cutlass_scaled_mm_supports_fp8": lambda capability: capability >= 89}
    _replace(operators, fp8)
    functions = torch.nn.functional
    for name, activation in (
        ("silu_and_mul", functions.silu),
        ("gelu_and_mul", functions.gelu),
        ("gelu_tanh_and_mul", partial(functions.gelu, approximate="tanh")),
    ):
        getattr(torch.ops._C, name)
        setattr(torch.ops._C, name, _kernel(gpus, name, partial(_gated, activation)))
    # vLLM for the CPU has the Python of its FlashAttention, but refuses to import the package.
    with contextlib.suppress(ImportError):
        importlib.import_module("vllm.vllm_flash_attn")
    interface = importlib.import_module("vllm.vllm_flash_attn.flash_attn_interface")
    # Version 3 has code for Hopper alone.
    versions = {
        "is_fa_version_supported": lambda version: (
            version in ((2, 3) if gpus.capabilities[gpus.current][0] == 9 else (2,))
        )
    }
    _replace(interface, versions)
    _stand_in(gpus, interface, flash_attn_varlen_func)
    _module("vllm.vllm_flash_attn", vars(interface))


def install_flashinfer(gpus: SimulatedGpus) -> None:
    gated = _kernel(gpus, "silu_and_mul", _silu_and_mul)
    _module("flashinfer", {"silu_and_mul": gated})


def _module(name: str, content: dict[str, Any]) -> None:
    module = ModuleType(name)
    vars(module).update({key: value for key, value in content.items() if key[:2] != "__"})
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    if "__version__" in content:
        vars(module)["__version__"] = content["__version__"]
    sys.modules[name] = module


def _stand_in(gpus: SimulatedGpus, module: ModuleType, function: Callable[..., Any]) -> None:
    signature = inspect.signature(getattr(module, function.__name__))
    kernel = _kernel(gpus, function.__name__, function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)  # TypeError if vLLM has other parameters
        return kernel(*bound.args, **bound.kwargs)

    setattr(module, function.__name__, call)


def _kernel(gpus: SimulatedGpus, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs as one kernel of a GPU."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(gpu_of(leaf) is not None for leaf in _leaves((args, kwargs))):
            raise RuntimeError(f"Could not run '{name}' with arguments from the 'CPU' backend")
        with torch._C.DisableTorchFunction():
            return gpus.launch(function, args, kwargs, name=name)

    return call


def rms_norm(out: Any, rows: Any, weight: Any, epsilon: float) -> None:
    wide = rows.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    out.copy_(wide * scale * weight.float())


def fused_add_rms_norm(rows: Any, residual: Any, weight: Any, epsilon: float) -> None:
    residual.add_(rows)
    rms_norm(rows, residual, weight, epsilon)


def rotary_embedding(
    positions: Any, query: Any, key: Any, head_size: int, cos_sin_cache: Any, is_neox: bool
) -> None:
    cosine, sine = cos_sin_cache[positions].float()[:, None].chunk(2, -1)
    for tensor in (query, key):
        heads = tensor.view(tensor.shape[0], -1, head_size)[..., : cos_sin_cache.shape[1]]
        wide = heads.float()
        left, right = wide.chunk(2, -1) if is_neox else (wide[..., ::2], wide[..., 1::2])
        turned = left * cosine - right * sine, right * cosine + left * sine
        heads.copy_(torch.cat(turned, -1) if is_neox else torch.stack(turned, -1).flatten(-2))


def reshape_and_cache_flash(
    key: Any,
    value: Any,
    key_cache: Any,
    value_cache: Any,
    slot_mapping: Any,
    kv_cache_dtype: str,
    k_scale: Any,
    v_scale: Any,
) -> None:
    if kv_cache_dtype != "auto" or float(k_scale) != 1.0 or float(v_scale) != 1.0:
        raise RuntimeError(f"the stand-in has no cache of {kv_cache_dtype}")
    for tensor, cache in ((key, key_cache), (value, value_cache)):
        cache.flatten(0, 1)[slot_mapping] = tensor


def cutlass_scaled_mm(
    a: Any, b: Any, scale_a: Any, scale_b: Any, out_dtype: Any, bias: Any = None
) -> Any:
    if bias is not None or b.stride(0) != 1 or a.shape[1] % 16 or b.shape[1] % 16:
        raise RuntimeError("cutlass_scaled_mm: b is not column-major, or not aligned to 16")
    return ((a.float() @ b.float()) * scale_a * scale_b).to(out_dtype)


def scaled_fp8_quant(
    rows: Any,
    scale: Any = None,
    num_token_padding: int | None = None,
    scale_ub: Any = None,
    use_per_token_if_dynamic: bool = False,
) -> tuple[Any, Any]:
    if not use_per_token_if_dynamic or any(
        x is not None for x in (scale, num_token_padding, scale_ub)
    ):
        raise RuntimeError("the stand-in has a scale for each row only")
    scales = rows.float().abs().amax(1, keepdim=True) / 448.0
    return (rows.float() / scales).to(torch.float8_e4m3fn), scales


def scaled_int8_quant(rows: Any) -> tuple[Any, Any, None]:
    scales = rows.float().abs().amax(1, keepdim=True) / 127.0
    return (rows.float() / scales).round().to(torch.int8), scales, None


def flash_attn_varlen_func(
    q: Any,
    k: Any,
    v: Any,
    max_seqlen_q: int,
    cu_seqlens_q: Any,
    max_seqlen_k: int,
    cu_seqlens_k: Any = None,
    **settings: Any,
) -> Any:
    version = settings.pop("fa_version")
    scale = settings.pop("softmax_scale", None)
    if version not in (2, 3) or scale not in (None, q.shape[-1] ** -0.5):
        raise RuntimeError(f"no FlashAttention {version} with the scale {scale} here")
    return _varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, **settings)


def _gated(activation: Callable[[Any], Any], out: Any, rows: Any) -> None:
    gate, up = rows.float().chunk(2, -1)
    out.copy_(activation(gate) * up)


def _silu_and_mul(rows: Any) -> Any:
    out = rows.new_empty((rows.shape[0], rows.shape[1] // 2))
    _gated(torch.nn.functional.silu, out, rows)
    return out


def install_nccl(gpus: SimulatedGpus) -> None:
    """Have gloo stand in for NCCL; tensors must lie on the GPU of their rank."""
    distributed: Any = importlib.import_module("torch.distributed")
    init = distributed.init_process_group

    def init_process_group(backend: str, *, device_id: Any, **settings: Any) -> None:
        if backend != "nccl" or gpus.number(device_id) != gpus.current:
            raise RuntimeError(f"{backend} on {device_id}, and the GPU of this rank is another")
        init("gloo", **settings)

    distributed.init_process_group = init_process_group
    for name in (
        *("all_reduce", "all_gather_into_tensor", "reduce_scatter_tensor"),
        *("all_gather_single", "reduce_scatter_single"),
    ):
        if function := getattr(distributed, name, None):
            setattr(distributed, name, partial(_collective, gpus, function))


def _collective(gpus: SimulatedGpus, function: Any, *tensors: Any, **settings: Any) -> Any:
    if any(gpu_of(tensor) != gpus.current for tensor in tensors):
        raise ValueError("No backend type associated with device type cpu")
    with torch._C.DisableTorchFunction():
        size, count = max(map(_bytes, tensors)), len(gpus.products)
        gpus.seconds += size * 2 * (count - 1) / count / _BUS
        return function(*tensors, **settings)
