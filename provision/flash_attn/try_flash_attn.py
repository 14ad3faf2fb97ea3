"""Try a flash-attn that was just installed: torch is the planned one, and all of it works together.

The environment's own Python runs this script, so it uses the standard library only. It prints one
line and ends with 0, or writes one sentence to stderr and ends with 1. A child process does the
imports: their output is discarded, and a crash becomes a sentence too.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

# Tell is how the child reports: each line says what it is about to do, or how it ended.
Tell = Callable[[str], None]
_FINE, _WRONG = "fine", "wrong"
# Flavour -> module and distribution.
_NAMES = {"2": ("flash_attn", "flash-attn"), "3": ("flash_attn_interface", "flash-attn-3")}
_HEADS, _LENGTH, _WIDTH = 2, 128, 64
_PIPE_BYTES = 1 << 16  # the capacity of a pipe: the child never waits for a reader
_LINE_BYTES = 1 << 11  # leaves room in the pipe for the lines of sixteen GPUs


class _WrongError(Exception):
    """A sentence that says what does not work."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--torch", required=True, metavar="VERSION", help="the planned version, as in its metadata"
    )
    parser.add_argument(
        "--flavour", default="2", choices=_NAMES, help="3 has one module, and is for Hopper"
    )
    parser.add_argument(
        "--gpus", default="", metavar="0,1", help="in PCI order; without any, no kernel is run"
    )
    options = parser.parse_args()
    gpus = [gpu for gpu in options.gpus.split(",") if gpu]
    status, lines = _run_in_child(lambda tell: _try(options.torch, options.flavour, gpus, tell))
    stage, _, text = (lines[-1] if lines else "starting").partition(": ")
    if status == 0 and stage == _FINE:
        sys.stdout.write(f"{text}\n")
        return 0
    if stage != _WRONG:  # the child ended in the middle of a stage
        text = f"{stage} {_describe_end(status)}"
    sys.stderr.write(f"{text}\n")
    return 1


def _describe_end(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.waitstatus_to_exitcode(status)}, before all was tried"


def _run_in_child(body: Callable[[Tell], None]) -> tuple[int, list[str]]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _be_the_child(body, writing)
    status = os.waitpid(child, 0)[1]
    # Not to the end of the file: a process that an import has forked may keep the pipe open.
    os.set_blocking(reading, False)
    try:
        output = os.read(reading, _PIPE_BYTES)
    except BlockingIOError:
        output = b""
    return status, output.decode(errors="replace").splitlines()


def _be_the_child(body: Callable[[Tell], None], writing: int) -> None:
    def tell(line: str) -> None:
        os.write(writing, f"{' '.join(line.split())[:_LINE_BYTES]}\n".encode())

    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        body(tell)
        status = 0
    except BaseException as error:  # noqa: BLE001 - an import may raise anything
        own = "" if isinstance(error, _WrongError) else f"{type(error).__name__}: "
        tell(f"{_WRONG}: {own}{error}")
    finally:
        os._exit(status)


def _try(planned: str, flavour: str, gpus: list[str], tell: Tell) -> None:
    """Import and run everything; raise _WrongError with the first sentence that says what fails."""
    os.environ.update(
        {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    )
    if gpus and all(gpu.isdigit() for gpu in gpus):  # CUDA knows no number for a MIG slice
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    sys.setdlopenflags(os.RTLD_NOW)  # so that a missing symbol fails here, and not at its first use
    tell("importing torch")
    torch = _import_torch(planned)
    name, distribution = _NAMES[flavour]
    tell(f"importing {name}")
    flash_attn = _import(name)
    if flavour == "2":
        _import("flash_attn_2_cuda")
        tell("importing the parts of flash_attn that transformers and vLLM use")
        _try_parts_for_others(flash_attn)
    tell(f"importing vllm beside {name}")
    vllm = _import("vllm")
    result = "no GPU was named, so none of its kernels was run"
    if gpus:
        result = "; ".join(
            _try_forward(torch, flash_attn, gpu, tell) for gpu in range(_count_gpus(torch, gpus))
        )
    versions = (
        f"torch {planned}, {distribution} {metadata.version(distribution)}, vllm {vllm.__version__}"
    )
    tell(f"{_FINE}: {versions} import together; {result}")


def _import_torch(version: str) -> Any:  # noqa: ANN401 - torch has no types outside the environment
    """Import torch; raise _WrongError unless exactly the planned version is installed and loads."""
    installed = sorted(
        distribution.version
        for distribution in metadata.distributions()
        if (distribution.metadata["Name"] or "").lower() == "torch"
    )
    if installed != [version]:
        raise _WrongError(
            f"torch {version} was planned, and {' and '.join(installed) or 'none'} is installed"
        )
    torch = _import("torch")
    loaded = str(torch.__version__)
    # The metadata of PyPI's wheel lacks the local version with the CUDA that torch itself reports.
    if version not in (loaded, loaded.partition("+")[0]):
        raise _WrongError(f"torch {version} was planned, and {loaded} is what loads")
    return torch


def _import(name: str) -> Any:  # noqa: ANN401 - likewise
    try:
        return importlib.import_module(name)
    except BaseException as error:
        raise _WrongError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def _try_parts_for_others(flash_attn: Any) -> None:  # noqa: ANN401 - likewise
    """Raise _WrongError if transformers lacks a name, or vLLM's rotary embedding cannot load."""
    padding = _import("flash_attn.bert_padding")
    functions = ("flash_attn_func", "flash_attn_varlen_func", "flash_attn_with_kvcache")
    lacking = [name for name in functions if not hasattr(flash_attn, name)]
    lacking += [name for name in ("pad_input", "unpad_input") if not hasattr(padding, name)]
    if lacking:
        raise _WrongError(f"flash_attn has no {' and no '.join(lacking)}, which transformers uses")
    name = "flash_attn.ops.triton.rotary"
    try:
        # vLLM does without this module only if it is missing; any other error stops vLLM.
        with contextlib.suppress(ModuleNotFoundError):
            _ = importlib.import_module(name).apply_rotary
    except BaseException as error:
        raise _WrongError(
            f"{name} keeps vLLM's rotary embedding from loading: {type(error).__name__}: {error}"
        ) from error


def _count_gpus(torch: Any, gpus: list[str]) -> int:  # noqa: ANN401 - likewise
    """Return how many GPUs torch sees; raise _WrongError if these are fewer than named."""
    count = int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
    if count < len(gpus):
        raise _WrongError(f"GPU {','.join(gpus)} was named, and torch sees {count or 'none'}")
    return count


def _try_forward(
    torch: Any,  # noqa: ANN401 - likewise
    flash_attn: Any,  # noqa: ANN401 - likewise
    number: int,
    tell: Tell,
) -> str:
    """Run one attention in half precision on a GPU; raise _WrongError if it fails or is inexact."""
    gpu = f"GPU {number} ({torch.cuda.get_device_name(number)})"
    name = flash_attn.__name__
    tell(f"running {name} on {gpu}")
    torch.cuda.set_device(number)
    torch.manual_seed(0)
    shape = (1, _LENGTH, _HEADS, _WIDTH)
    inputs = [torch.randn(*shape, device=f"cuda:{number}", dtype=torch.float16) for _ in range(3)]
    try:
        output = flash_attn.flash_attn_func(*inputs)
        # Some releases of flavour 3 also return the sums of the rows.
        output = output[0] if isinstance(output, tuple) else output
        torch.cuda.synchronize(number)
    except Exception as error:
        raise _WrongError(
            f"{name} does not run on {gpu}: {type(error).__name__}: {error}"
        ) from error
    error_size, allowed = _errors(torch, output, inputs)
    if not error_size <= allowed:  # written so that NaN fails
        raise _WrongError(
            f"{name} is wrong on {gpu}: off by {error_size:.3g}, and {allowed:.3g} is allowed"
        )
    return f"a forward on {gpu} is off by {error_size:.3g} of {allowed:.3g} allowed"


def _errors(
    torch: Any,  # noqa: ANN401 - likewise
    output: Any,  # noqa: ANN401 - likewise
    inputs: list[Any],
) -> tuple[float, float]:
    """Return the error of an output against 64 bits, and the allowed one.

    Allowed is twice the error of torch's own attention, and the rounding of the result.
    """
    exact = _attention(torch, *(tensor.double() for tensor in inputs))
    reference = _attention(torch, *inputs)
    rounding = 2 * float(torch.finfo(reference.dtype).eps) * float(exact.abs().max())
    allowed = 2 * float((reference.double() - exact).abs().max()) + rounding
    return float((output.double() - exact).abs().max()), allowed


def _attention(torch: Any, query: Any, key: Any, value: Any) -> Any:  # noqa: ANN401 - likewise
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    weights = torch.softmax(query @ key.transpose(-1, -2) * _WIDTH**-0.5, dim=-1)
    return (weights @ value).transpose(1, 2)


if __name__ == "__main__":
    sys.exit(main())
