"""Run by an environment's Python once flash-attn is in it: whether torch is the planned one still, and all of it works.

Ends with a line on stdout, or with status 1 and a sentence on stderr. What is imported says nothing of its own: a child
tries it, so that a crash has its sentence too.
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

_FINE, _WRONG = "fine", "wrong"
_NAMES = {"2": ("flash_attn", "flash-attn"), "3": ("flash_attn_interface", "flash-attn-3")}  # module and distribution
_HEADS, _LENGTH, _WIDTH = 2, 128, 64
_PIPE, _LINE = 1 << 16, 1 << 11  # what a pipe holds, and what there is room for with sixteen GPUs


class _WrongError(Exception):
    """A sentence: what does not hold."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", required=True, metavar="VERSION", help="the planned one, as its metadata has it")
    parser.add_argument("--flavour", default="2", choices=_NAMES, help="3 has one module, and is for Hopper")
    parser.add_argument("--gpus", default="", metavar="0,1", help="in PCI order; none: nothing is run, only linked")
    asked = parser.parse_args()
    gpus = [gpu for gpu in asked.gpus.split(",") if gpu]
    status, said = _in_a_child(lambda tell: _try(asked.torch, asked.flavour, gpus, tell))
    how, _, what = (said[-1] if said else "starting").partition(": ")
    if status == 0 and how == _FINE:
        sys.stdout.write(f"{what}\n")
        return 0
    if how != _WRONG:
        what = f"{how} {_ended(status)}"
    sys.stderr.write(f"{what}\n")
    return 1


def _ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.waitstatus_to_exitcode(status)}, before all was tried"


def _in_a_child(body: Callable[[Callable[[str], None]], None]) -> tuple[int, list[str]]:
    """Its status, and every line that it told; its own output goes nowhere."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _be_the_child(body, writing)
    status = os.waitpid(child, 0)[1]
    os.set_blocking(reading, False)  # what an import has forked may hold on to the other end
    try:
        said = os.read(reading, _PIPE)
    except BlockingIOError:
        said = b""
    return status, said.decode(errors="replace").splitlines()


def _be_the_child(body: Callable[[Callable[[str], None]], None], writing: int) -> None:
    def tell(line: str) -> None:
        os.write(writing, f"{' '.join(line.split())[:_LINE]}\n".encode())

    status = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        body(tell)
        status = 0
    except BaseException as error:  # noqa: BLE001 - whatever an import raises is what is asked here
        tell(f"{_WRONG}: {error}" if isinstance(error, _WrongError) else f"{_WRONG}: {type(error).__name__}: {error}")
    finally:
        os._exit(status)


def _try(planned: str, flavour: str, gpus: list[str], tell: Callable[[str], None]) -> None:
    os.environ.update({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"})
    if gpus and all(gpu.isdigit() for gpu in gpus):  # a slice has no number that CUDA knows
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    sys.setdlopenflags(os.RTLD_NOW)
    tell("importing torch")
    torch = _planned(planned)
    name, distribution = _NAMES[flavour]
    tell(f"importing {name}")
    flash_attn = _imported(name)
    if flavour == "2":
        _imported("flash_attn_2_cuda")
        tell("importing what transformers and vLLM take of flash_attn")
        _taken_by_others(flash_attn)
    tell(f"importing vllm beside {name}")
    vllm = _imported("vllm")
    ran = "no GPU was named, so none of its kernels was run"
    if gpus:
        ran = "; ".join(_forward(torch, flash_attn, number, tell) for number in range(_seen(torch, gpus)))
    version = f"{distribution} {_version(distribution)}"
    tell(f"{_FINE}: torch {planned}, {version}, vllm {vllm.__version__} import together; {ran}")


def _planned(version: str) -> Any:  # noqa: ANN401 - torch, of which this side has no types
    installed = sorted(
        each.version for each in metadata.distributions() if (each.metadata["Name"] or "").lower() == "torch"
    )
    if installed != [version]:
        raise _WrongError(f"torch {version} was planned, and {' and '.join(installed) or 'none'} is installed")
    torch = _imported("torch")
    loaded = str(torch.__version__)
    # PyPI's wheel leaves out in its metadata the CUDA that it says of itself.
    if version not in (loaded, loaded.partition("+")[0]):
        raise _WrongError(f"torch {version} was planned, and {loaded} is what loads")
    return torch


def _imported(name: str) -> Any:  # noqa: ANN401 - likewise
    try:
        return importlib.import_module(name)
    except BaseException as error:
        raise _WrongError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError as error:
        raise _WrongError(f"no distribution {distribution} is installed") from error


def _taken_by_others(flash_attn: Any) -> None:  # noqa: ANN401 - likewise
    """What transformers takes by name, and what vLLM's rotary embedding does without only where it is not there."""
    padding = _imported("flash_attn.bert_padding")
    of_transformers = ("flash_attn_func", "flash_attn_varlen_func", "flash_attn_with_kvcache")
    lacking = [name for name in of_transformers if not hasattr(flash_attn, name)]
    lacking += [name for name in ("pad_input", "unpad_input") if not hasattr(padding, name)]
    if lacking:
        raise _WrongError(f"flash_attn has no {' and no '.join(lacking)}, which transformers takes of it")
    name = "flash_attn.ops.triton.rotary"
    try:
        with contextlib.suppress(ModuleNotFoundError):
            _ = importlib.import_module(name).apply_rotary
    except BaseException as error:
        raise _WrongError(
            f"{name} keeps vLLM's rotary embedding from loading: {type(error).__name__}: {error}"
        ) from error


def _seen(torch: Any, gpus: list[str]) -> int:  # noqa: ANN401 - likewise
    seen = int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
    if seen < len(gpus):
        raise _WrongError(f"GPU {','.join(gpus)} was named, and torch sees {seen or 'none'}")
    return seen


def _forward(torch: Any, flash_attn: Any, number: int, tell: Callable[[str], None]) -> str:  # noqa: ANN401 - likewise
    """One attention in half precision, as good as torch's own by twice its error and the rounding of the result."""
    where = f"GPU {number} ({torch.cuda.get_device_name(number)})"
    name = flash_attn.__name__
    tell(f"running {name} on {where}")
    device = f"cuda:{number}"
    torch.cuda.set_device(number)
    torch.manual_seed(0)
    given = [torch.randn(1, _LENGTH, _HEADS, _WIDTH, device=device, dtype=torch.float16) for _ in range(3)]
    try:
        found = flash_attn.flash_attn_func(*given)
        found = found[0] if isinstance(found, tuple) else found  # some of flavour 3 also return the sums of the rows
        torch.cuda.synchronize(number)
    except Exception as error:
        raise _WrongError(f"{name} does not run on {where}: {type(error).__name__}: {error}") from error
    off, allowed = _errors(torch, found, given)
    if not off <= allowed:  # NaN is not
        raise _WrongError(f"{name} is wrong on {where}: off by {off:.3g}, and {allowed:.3g} is allowed")
    return f"a forward on {where} is off by {off:.3g} of {allowed:.3g} allowed"


def _errors(torch: Any, found: Any, given: list[Any]) -> tuple[float, float]:  # noqa: ANN401 - likewise
    exact = _attention(torch, *(each.double() for each in given))
    same = _attention(torch, *given)
    little = 2 * float(torch.finfo(same.dtype).eps) * float(exact.abs().max())
    return float((found.double() - exact).abs().max()), 2 * float((same.double() - exact).abs().max()) + little


def _attention(torch: Any, query: Any, key: Any, value: Any) -> Any:  # noqa: ANN401 - likewise
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))
    weights = torch.softmax(query @ key.transpose(-1, -2) * _WIDTH**-0.5, dim=-1)
    return (weights @ value).transpose(1, 2)


if __name__ == "__main__":
    sys.exit(main())
