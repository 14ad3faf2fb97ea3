"""Rows about serving: defaults of each release, memory beside the weights, architectures."""

from __future__ import annotations

from typing import Literal

from provision.catalog.row import Row


class ServingDefaults(Row, frozen=True, kw_only=True):
    """The defaults of `vllm serve` from this release on.

    `batches` lists, largest memory first: GiB of the GPU (at least), max_num_seqs,
    max_num_batched_tokens. `small_a100` is whether an A100 counts as a GPU of little memory.
    `graphs_counted` is whether CUDA graphs are taken out of the budget, `hybrid` whether layers of
    different kinds form groups, `state_blocks` the blocks of a request in a group of states, and
    `in_flight` how many batches a sliding window reserves for.
    """

    version: str
    engine: Literal["V0", "V1"]
    utilisation: float
    batches: tuple[tuple[int, int, int], ...]
    by_name: tuple[str, ...] = ()
    small_a100: bool = False
    graphs_counted: bool = False
    hybrid: bool = False
    pad_factor: float = 1.0
    state_blocks: int = 1
    states_checked: bool = False
    in_flight: int = 1
    null_block: bool = False


class MemoryUse(Row, frozen=True, kw_only=True):
    """Coefficients of the memory beside weights and cache, from this release on.

    Activation in GiB = `logits` x max_num_seqs x vocabulary x 4 B + `tokens` x
    max_num_batched_tokens x hidden size x 2 B + `constant`, with the work space of experts
    `experts` times. `alone`, `linked`, `unlinked` and `staged` are the memory outside PyTorch: one
    GPU, several with NVLink, several without, pipeline stages. Graphs = `graph` + `graph_layer` x
    layers, and `graph_experts` with experts. Each spread is the largest residual of the fit, or an
    assumption where `basis` says so; `runs` is how many runs the fit had.
    """

    version: str
    logits: float
    tokens: float
    constant: float
    spread: float
    experts: float = 0.0
    alone: float
    linked: float
    unlinked: float
    staged: float
    spread_outside: float
    graph: float
    graph_layer: float
    graph_experts: float
    spread_graph: float
    runs: int
    basis: str


class ArchitectureChange(Row, frozen=True, kw_only=True):
    """The architectures that a release of vLLM added to its registry, and those it removed."""

    version: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
