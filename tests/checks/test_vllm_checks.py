"""Checks of extensions and serving: against a pretended vLLM with faults, and a real one."""

from __future__ import annotations

import importlib.machinery
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from provision.engine import launch_checks
from provision.engine.conclude import conclude
from provision.engine.launch_checks import CheckContext
from tests.checks import real
from tests.checks.environments import SmallEnvironment, some_extension
from tests.checks.pretended_vllm import pretend
from tests.checks.twins import twin_of


@pytest.fixture
def environment(tmp_path: Path) -> SmallEnvironment:
    return SmallEnvironment(tmp_path / "env")


def test_without_vllm_there_is_nothing_to_decide(environment: SmallEnvironment) -> None:
    result = environment.check("vllm_generates")
    assert (result.outcome, result.summary) == ("skip", "needs torch and vllm in this environment")


def test_extensions_load(environment: SmallEnvironment) -> None:
    pretend(environment)
    result = environment.check("extensions_import")
    assert (result.outcome, result.evidence["loaded"]) == ("pass", ["vllm._bisect"])
    assert result.summary == "torch 0.0+cpu, vllm 0.0+cpu; extensions loaded: 1"


@twin_of("extensions_import", "driver_extensions_import")
def test_an_extension_that_does_not_load_is_named(environment: SmallEnvironment) -> None:
    pretend(environment)
    (environment.site / "vllm" / "_moe.abi3.so").write_text("not a library")
    result = environment.check("extensions_import")
    assert result.outcome == "fail"
    assert result.summary.startswith("extensions that do not load: 1; vllm._moe: ")
    assert "loading vllm._moe" in environment.log("extensions_import")
    beside_gpu = environment.check(
        "driver_extensions_import", CheckContext(profile="cuda", gpus=("0",))
    )
    assert beside_gpu.outcome == "fail"
    assert beside_gpu.summary.startswith("vllm._moe: ")


def test_of_one_file_for_each_python_only_that_of_this_one_is_loaded(
    environment: SmallEnvironment,
) -> None:
    """vLLM 0.25 to 0.28 bring DeepGEMM like this; the file for 3.14 does not load in 3.13."""
    pretend(environment)
    folder = environment.site / "vllm" / "deep_gemm"
    folder.mkdir()
    own = importlib.machinery.EXTENSION_SUFFIXES[0]
    shutil.copy(some_extension(), folder / f"_C{own}")
    for suffix in (".cpython-399-x86_64-linux-gnu.so", ".cpython-38-x86_64-linux-gnu.so"):
        (folder / f"_C{suffix}").write_text("not a library")
    result = environment.check("extensions_import")
    assert result.outcome == "pass"
    assert "vllm.deep_gemm._C" in result.evidence["loaded"]
    (folder / f"_C{own}").unlink()
    result = environment.check("extensions_import")
    assert result.outcome == "fail"
    assert "vllm.deep_gemm._C: no file is for this Python, only _C.cpython-38" in result.summary


def test_a_torch_that_does_not_import_is_an_error(environment: SmallEnvironment) -> None:
    pretend(environment)
    (environment.site / "torch" / "__init__.py").write_text(
        "raise ImportError('undefined symbol: _ZN2at')\n"
    )
    result = environment.check("extensions_import")
    assert (result.outcome, result.summary) == ("error", "ImportError: undefined symbol: _ZN2at")


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here")
def test_extensions_that_need_the_driver_are_left_to_a_host_with_one(
    environment: SmallEnvironment, tmp_path: Path
) -> None:
    pretend(environment)
    source, stub = tmp_path / "empty.c", tmp_path / "libcuda.so.1"
    source.write_text("int nothing;\n")
    subprocess.run(["cc", "-shared", "-Wl,-soname,libcuda.so.1", "-o", stub, source], check=True)
    extension = environment.site / "vllm" / "_C.abi3.so"
    subprocess.run(
        ["cc", "-shared", "-Wl,--no-as-needed", "-o", extension, source, stub], check=True
    )
    stub.unlink()
    result = environment.check("extensions_import", CheckContext(profile="cuda"))
    assert (result.outcome, result.evidence["want_driver"]) == ("pass", ["vllm._C"])
    without, beside = CheckContext(profile="cuda"), CheckContext(profile="cuda", gpus=("0",))
    assert (
        environment.check("driver_extensions_import", without).summary
        == "needs 1 GPU; this host has none"
    )
    assert (
        environment.check("driver_extensions_import", beside).summary
        == "vllm._C cannot find libcuda.so.1"
    )


def test_the_choice_for_this_cpu_is_vllms_own(environment: SmallEnvironment) -> None:
    load = "import ctypes, vllm; ctypes.CDLL(vllm.__path__[0] + '/_C_AVX2.abi3.so')"
    pretend(environment, import_kernels=load)
    variants = [environment.site / "vllm" / f"{name}.abi3.so" for name in ("_C", "_C_AVX2")]
    for path in variants:
        shutil.copy(some_extension(), path)
    result = environment.check("extensions_import")
    assert (result.outcome, result.evidence["other_cpus"]) == ("pass", ["vllm._C"])


def test_the_reason_for_missing_kernels_is_reported(environment: SmallEnvironment) -> None:
    missing = "libnuma.so.1: cannot open shared object file"
    pretend(
        environment,
        import_kernels=f"import logging; logging.getLogger('vllm.x').warning({missing!r})",
    )
    shutil.copy(some_extension(), environment.site / "vllm" / "_C.abi3.so")
    result = environment.check("extensions_import")
    assert (
        result.summary
        == f"extensions that do not load: 1; vllm._C: vLLM loaded none of vllm._C: {missing}"
    )
    assert "libnuma1" in result.hint


def test_serves(environment: SmallEnvironment) -> None:
    pretend(environment)
    tried = environment.tried("vllm_serves")
    (result,), (ready,) = tried.checks, tried.figures
    assert result.outcome == "pass", result.summary
    assert (ready.name, ready.unit, ready.better, ready.repeats) == (
        "time until ready",
        "s",
        "lower",
        1,
    )
    assert ready.value == pytest.approx(result.evidence["startup_s"], rel=1e-4)
    assert result.evidence["backend"] == ["FLASH_ATTN"]
    assert result.evidence["counted"]["vllm:generation_tokens_total"] == 12 * 11
    assert result.evidence["startup_s"] > 0
    assert "left_running" not in result.evidence


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checks, with waits of at most one second."""
    folder = tmp_path_factory.mktemp("impatient") / "checks"
    shutil.copytree(launch_checks.CHECKS, folder)
    for name, sentence, shorter in (
        ("vllm_serves", "_COUNTED_S = 10.0", "_COUNTED_S = 1.0"),
        ("_server", "420.0, 60.0, 30.0", "420.0, 60.0, 1.0"),
    ):
        text = (folder / f"{name}.py").read_text()
        assert sentence in text
        (folder / f"{name}.py").write_text(text.replace(sentence, shorter))
    return folder


@twin_of("vllm_serves")
@pytest.mark.parametrize(
    ("broken", "summary"),
    [
        ({"status": "500"}, "the first request was answered with 500: "),
        (
            {"status": "500 if counted['requests'] > 1 else 200"},
            "a completion of 12 tokens was answered with 500 and 12 tokens",
        ),
        ({"status": "500 if chat else 200"}, "a chat of 12 tokens was answered with 500"),
        (
            {"status": "500 if stream else 200"},
            "a streamed completion broke: it was answered with 500",
        ),
        ({"words": "words[:-1]"}, "a completion of 12 tokens was answered with 200 and 11 tokens"),
        ({"words": "words[::-1]"}, "a completion said «w40 "),
        ({"words": "words[::-1] if chat else words"}, "a chat said «w40 "),
        ({"words": "words[::-1] if stream else words"}, "a streamed completion said «w40 "),
        ({"count": "11 if stream else 12"}, "a streamed completion of 12 tokens had 11"),
        ({"end": ""}, "a streamed completion broke: it ended without [DONE]"),
        ({"slow": "True", "words": "words if alone else words[::-1]"}, "of 8 requests at once, "),
        ({"model": "'another'"}, "/v1/models answered 200 and does not name the model"),
        ({"metrics": "''"}, "/metrics answers without a metric of vLLM"),
        (
            {"generated": "0"},
            "/metrics counts 0 more in vllm:generation_tokens_total, and 132 were requested",
        ),
        ({"on_start": "sys.exit(3)"}, "the server ended with status 3 before it was ready"),
        ({"on_stop": "os._exit(7)"}, "the server ended with status 7 on SIGTERM"),
        (
            {"on_start": "subprocess.Popen(['sleep', '300'], start_new_session=True)"},
            "the server ended and left sleep running",
        ),
    ],
    ids=str,
)
def test_a_server_that_is_broken_fails(
    environment: SmallEnvironment, impatient: Path, broken: dict[str, str], summary: str
) -> None:
    pretend(environment, **broken)
    environment.checks = impatient
    result = environment.check("vllm_serves")
    assert result.outcome == "fail"
    assert summary in result.summary


LOG = """
    print("INFO torch.compile took 12.31 s in total", flush=True)
    print("INFO Graph capturing finished in 7 secs, took 0.31 GiB", flush=True)
    wrong = {"--enforce-eager", "--max-num-seqs"} & set(sys.argv)
    wrong |= {"VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "FLASHINFER_WORKSPACE_BASE"} & set(os.environ)
    assert not wrong, wrong
"""


@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler here")
def test_a_server_with_the_defaults_of_vllm(environment: SmallEnvironment) -> None:
    pretend(environment, on_start=textwrap.indent(textwrap.dedent(LOG), "    "))
    result = environment.check("vllm_serves_compiled")
    assert result.outcome == "pass", result.summary
    assert "(compiled in 12.31 s, graphs captured in 7 s); 5 prompts completed" in result.summary


@twin_of("vllm_serves_compiled")
@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler here")
@pytest.mark.parametrize(
    ("broken", "summary"),
    [
        ({"words": "words[::-1]"}, "a completion said «w40 "),
        ({"on_start": "sys.exit(3)"}, "the server ended with status 3 before it was ready"),
    ],
)
def test_a_compiled_server_that_is_broken_warns(
    environment: SmallEnvironment, broken: dict[str, str], summary: str
) -> None:
    pretend(environment, **broken)
    result = environment.check("vllm_serves_compiled")
    assert (result.outcome, summary in result.summary) == ("warn", True)
    assert "--enforce-eager" in result.hint


def test_a_server_without_room_on_the_gpu_is_an_error(environment: SmallEnvironment) -> None:
    message = "ValueError: Free memory on device cuda:0 (1.2/79.1 GiB) on startup is less than desired GPU memory utilization"
    pretend(environment, on_start=f"sys.exit({message!r})")
    result = environment.check("vllm_serves")
    assert (result.outcome, result.summary) == (
        "error",
        f"MemoryError: a GPU has too little free memory for a small check: {message}",
    )


def test_a_split_model_answers_as_a_whole_one(environment: SmallEnvironment) -> None:
    pretend(environment, on_start="assert settings['--tensor-parallel-size'] == '4'")
    result = environment.check(
        "vllm_tensor_parallel", CheckContext(profile="cuda", gpus=("0", "1", "2", "5", "7", "9"))
    )
    assert result.outcome == "pass", result.summary
    assert result.summary.startswith("split 4 ways, 5 prompts were completed as on one")
    alone = environment.check("vllm_tensor_parallel", CheckContext(profile="cuda", gpus=("0",)))
    assert (alone.outcome, alone.summary) == ("skip", "needs 2 GPUs; this host has 1")


@twin_of("vllm_tensor_parallel")
@pytest.mark.parametrize(
    ("broken", "summary"),
    [
        ({"words": "words[:6] + words[:6]"}, "split 2 ways, a completion said «w49 "),
        (
            {"on_start": "sys.exit(1)"},
            "split 2 ways, the server ended with status 1 before it was ready",
        ),
        ({"on_stop": "os._exit(1)"}, "split 2 ways, the server ended with status 1 on SIGTERM"),
    ],
    ids=str,
)
def test_a_split_that_is_broken_fails(
    environment: SmallEnvironment, broken: dict[str, str], summary: str
) -> None:
    pretend(environment, **broken)
    result = environment.check(
        "vllm_tensor_parallel", CheckContext(profile="cuda", gpus=("0", "1"))
    )
    assert result.outcome == "fail"
    assert result.summary.startswith(summary)


def test_the_launcher_is_used_where_there_is_one(environment: SmallEnvironment) -> None:
    pretend(environment)
    launcher = environment.folder / "bin" / "vllm"
    launcher.write_text(
        f"#!{environment.python}\nimport runpy, sys\nassert sys.argv.pop(1) == 'serve'\nsys.argv.pop(1)\n"
        "print('through the launcher', flush=True)\n"
        "runpy.run_module('vllm.entrypoints.openai.api_server', run_name='__main__')\n"
    )
    launcher.chmod(0o755)
    result = environment.check("vllm_serves", CheckContext(profile="cpu", launcher=str(launcher)))
    assert result.outcome == "pass", result.summary
    assert "through the launcher" in environment.log("vllm_serves")


LONGER = ("speed_attention", "speed_matmul", "vllm_bench", "vllm_serves_compiled")


@pytest.mark.parametrize(
    "names", [("vllm_tensor_parallel",), pytest.param(LONGER, marks=pytest.mark.long)]
)
def test_a_real_vllm_passes_the_full_profile(
    real_vllm: real.Vllm, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """`up` has tried all others."""
    full = [
        check
        for check in launch_checks.discover()
        if check.profile == "full" and check.needs.profile != "cuda"
    ]
    assert [item.name for item in full] == [*LONGER, "vllm_tensor_parallel"]
    wanted = [item for item in full if item.name in names]
    tried = launch_checks.run(
        real_vllm.python, wanted, CheckContext(profile="cpu"), tmp_path / "logs"
    )
    assert conclude(tried, names, ()).verdict == "verified", tried.checks
