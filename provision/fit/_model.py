"""The nouns of a prediction: intervals, matrices, layers, a model, a device, and a request."""

from __future__ import annotations

from typing import Literal

import msgspec

GIB = 1024**3

Split = Literal["rows", "columns", "copies", "none"]
CacheKind = Literal["full", "sliding", "chunked", "mla", "state"]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A predicted figure: what is likely, and the limits that it should stay within."""

    low: float
    likely: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Interval:
        return cls(low=value, likely=value, high=value)

    @classmethod
    def around(cls, value: float, spread: float) -> Interval:
        return cls(low=max(0.0, value - spread), likely=value, high=value + spread)

    def __add__(self, other: Interval) -> Interval:
        return Interval(
            low=self.low + other.low, likely=self.likely + other.likely, high=self.high + other.high
        )

    def minus(self, other: Interval) -> Interval:
        """Return the difference; it is smallest where the other figure is largest."""
        return Interval(
            low=self.low - other.high, likely=self.likely - other.likely, high=self.high - other.low
        )

    def times(self, factor: float) -> Interval:
        return Interval(low=self.low * factor, likely=self.likely * factor, high=self.high * factor)

    def rounded(self, digits: int = 2) -> Interval:
        return Interval(
            low=round(self.low, digits),
            likely=round(self.likely, digits),
            high=round(self.high, digits),
        )


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """One weight of a model, or `copies` equal ones, such as those of all experts.

    `name` is the name in the checkpoint. `split` says how tensor parallelism divides it: by rows
    (outputs), by columns (inputs), by copies, or not at all. `least` is the fewest rows that a rank
    holds: a head of keys is never divided. `quantised`: a scheme may apply to it.
    """

    name: str
    rows: int
    columns: int = 1
    copies: int = 1
    split: Split = "none"
    least: int = 1
    quantised: bool = False
    expert: bool = False
    dtype_bytes: int | None = None  # None: that of the served dtype

    @property
    def parameters(self) -> int:
        return self.rows * self.columns * self.copies


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a request that one layer keeps.

    `width` is the sum of the sizes of one key and one value; for MLA that of the compressed row.
    `states` are the states of a recurrent layer: elements over all ranks, and bytes per element
    (None: the served dtype). `delta` marks a gated delta net, whose last state is wider on a CPU.
    """

    kind: CacheKind
    kv_heads: int = 0
    width: int = 0
    window: int = 0
    states: tuple[tuple[int, int | None], ...] = ()
    delta: bool = False


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: its weights, and its cache (None for a layer that shares or needs none)."""

    matrices: tuple[Matrix, ...]
    cache: Cache | None = None


class Quantisation(msgspec.Struct, frozen=True, kw_only=True):
    """A weight format: bits per weight, its scales, what it leaves out, and its block.

    `block` is (rows, columns) that share a scale; 0 stands for the whole row or column.
    `activation_bits` is 16 for weight-only formats.
    """

    method: str
    scheme: str
    bits: float
    scale_bytes: float = 0.0
    block: tuple[int, int] = (0, 0)
    activation_bits: int = 16
    left_out: tuple[str, ...] = ()
    experts_only: bool = False
    spread: float = 0.0
    pad: tuple[int, int] = (1, 1)


class Experts(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of a mixture of experts that its work space depends on."""

    count: int
    per_token: int
    intermediate: int


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model as its config describes it.

    `first` and `last` are the weights that only the first and the last pipeline stage hold.
    `rotary` is the elements of the tables of positions. `stored` is the size of the tensors on disk
    as a share of the computed one. `guessed` says what the config left open.
    """

    name: str
    architecture: str
    model_type: str
    dtype: str
    hidden: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    positions: int
    tied: bool
    layers: tuple[Layer, ...]
    first: tuple[Matrix, ...]
    last: tuple[Matrix, ...]
    vision: tuple[Matrix, ...] = ()
    rotary: int = 0
    experts: Experts | None = None
    quantisation: Quantisation | None = None
    pooling: bool = False
    encoder: bool = False
    stored: float = 1.0
    guessed: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Return the number of parameters; a tied head counts once."""
        inside = sum(
            matrix.parameters
            for layer in self.layers
            for matrix in layer.matrices
            if not matrix.name.endswith(".absorbed")  # a copy that vLLM makes
        )
        last = sum(m.parameters for m in self.last if not (self.tied and m.name == "lm_head"))
        return inside + last + sum(m.parameters for m in (*self.first, *self.vision))

    @property
    def is_mla(self) -> bool:
        return any(layer.cache and layer.cache.kind == "mla" for layer in self.layers)

    @property
    def has_states(self) -> bool:
        return any(layer.cache and layer.cache.kind == "state" for layer in self.layers)


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The GPUs of a host, all alike: how many, and the memory that CUDA reports for one."""

    name: str
    cc: str | None
    count: int
    total: float
    nvlink: bool = False
    basis: str = ""
    cpu: bool = False

    @property
    def capability(self) -> tuple[int, int] | None:
        if self.cc is None:
            return None
        major, _, minor = self.cc.partition(".")
        return int(major), int(minor)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The wish of a user: flags of `vllm serve`, a context, a number of requests at once.

    `command`: it is a whole command to judge, and all that is not given is vLLM's default.
    `judged`: flags name a layout, a length or a batch, so the size of a batch is vLLM's
    default where no flag gives it.
    """

    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    data_parallel: int | None = None
    expert_parallel: bool = False
    max_model_len: int | None = None
    utilisation: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_dtype: str = "auto"
    quantization: str | None = None
    dtype: str = "auto"
    enforce_eager: bool = False
    block_size: int | None = None
    kv_cache_bytes: int | None = None
    offload_gib: float = 0.0
    prefix_caching: bool | None = None
    loras: int = 0
    lora_rank: int = 16
    text_only: bool = False
    auto_length: bool = False
    context: int | None = None
    concurrency: int | None = None
    kept: tuple[str, ...] = ()
    unmodelled: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    judged: bool = False
    command: bool = False
