"""vllm_generates: wrong tokens and their reasons, a wrong reference, and models that are wrong."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from checks import _tiny_model as tiny
from checks.vllm_generates import GeneratedAnswer, Reference, find_problem, judge
from provision.engine import launch_checks
from tests.checks import real
from tests.checks.twins import twin_of

RIGHT = [GeneratedAnswer(tokens, (1.0,) * tiny.TOKENS) for tokens in tiny.ANSWERS]
BOOK = Reference(RIGHT, margin=0.3, allowed=0.01)


def changed(**change: tuple[int, ...] | tuple[float, ...]) -> list[GeneratedAnswer]:
    """The third answer is another."""
    return [*RIGHT[:2], replace(RIGHT[2], **change), *RIGHT[3:]]  # type: ignore[arg-type]  # one field at a time


def test_the_model_file_is_the_same_everywhere(
    tmp_path: Path,
) -> None:
    file = Path(tiny.make(str(tmp_path))) / "model.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    begin, end = header["model.layers.1.mlp.down_proj.weight"]["data_offsets"]
    assert header["model.layers.1.mlp.down_proj.weight"]["shape"] == [128, 256]
    assert end - begin == 4 * 128 * 256
    assert (
        max(tensor.get("data_offsets", [0, 0])[1] for tensor in header.values())
        == len(data) - 8 - length
    )
    first = header["model.embed_tokens.weight"]["data_offsets"][0] + 8 + length
    assert struct.unpack_from("<3f", data, first) == (0.515625, -1.515625, -0.328125)


def test_no_sampler_is_compiled_unless_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "VLLM_USE_FLASHINFER_SAMPLER"
    monkeypatch.delenv(name, raising=False)
    assert tiny.environment("/scratch")[name] == "0"
    monkeypatch.setenv(name, "1")
    assert tiny.environment("/scratch")[name] == "1"


def test_right_tokens_pass() -> None:
    assert not find_problem([RIGHT, RIGHT], BOOK)


WRONG = (*tiny.ANSWERS[2][:6], 7, *tiny.ANSWERS[2][7:])


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        (
            [changed(tokens=WRONG), RIGHT],
            "the same greedy prompts gave other tokens the second time",
        ),
        (
            [RIGHT, changed(tokens=WRONG)],
            "the same greedy prompts gave other tokens the second time",
        ),
        ([changed(tokens=WRONG)] * 2, "after 120 words, token 7 is 7, and plain torch says 46"),
        (
            [changed(tokens=WRONG[:-1])] * 2,
            "12 and 12 and 11 and 12 and 12 tokens were generated, 12 each were requested",
        ),
        (
            [changed(tokens=(*WRONG[:-1], 256))] * 2,
            "a token was generated that the model does not have",
        ),
        (
            [RIGHT, changed(leads=(1.0,) * 11 + (1.02,))],
            "their leads are off by 0.02, and 0.01 is allowed",
        ),
        ([RIGHT, changed(leads=(1.0,) * 11 + (float("nan"),))], "their leads are off by nan"),
    ],
)
def test_wrong_tokens_are_told_apart(runs: list[list[GeneratedAnswer]], says: str) -> None:
    assert says in find_problem(runs, BOOK)


def test_a_wrong_reference_proves_nothing() -> None:
    result = find_problem([changed(tokens=WRONG)] * 2, replace(BOOK, answers=changed(tokens=WRONG)))
    assert "torch itself is wrong here" in result
    assert "a rounding could decide" in find_problem([RIGHT, RIGHT], replace(BOOK, margin=0.1))
    assert "a rounding could decide" in find_problem(
        [RIGHT, RIGHT], replace(BOOK, margin=float("nan"))
    )


# Each is a vLLM whose model computes something else; the last ones only a little.
SABOTAGE = {
    "nothing": "",
    "no rotary embedding": "rotate = lambda self, heads: heads",
    "heads of key and value confused": "linear = lambda self, name, x: "
    "PlainLlama.linear(self, name, x).unflatten(-1, (2, 64)).flip(-2).flatten(-2) if 'v_proj' in name else "
    "PlainLlama.linear(self, name, x)",
    "no gate": "feed_forward = lambda self, layer, x: self.linear(layer + '.down_proj', self.linear(layer + '.up_proj', x))",
    "no mean": "norm = lambda self, name, x: x * self.weights[name]",
    "a value off by 1 %": "linear = lambda self, name, x: "
    "PlainLlama.linear(self, name, x) * (1.01 if 'v_proj' in name else 1)",
    "no number": "linear = lambda self, name, x: PlainLlama.linear(self, name, x) * float('nan')",
}
TRIED = """if True:
    import json, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from checks import _tiny_model as tiny, vllm_generates as check
    from checks._plain_llama import PlainLlama
    book = check.make_reference(torch, torch.float32)
    result = {"margin": book.margin}
    def generates(model):
        answers, _, _ = check._answer(torch, model)
        return check.find_problem([answers, answers], book)
    def changed(change):
        return type("Changed", (PlainLlama,), eval(f"dict({change})", {"PlainLlama": PlainLlama}))
    with torch.no_grad():
        for name, change in json.loads(sys.argv[2]).items():
            result[name] = generates(changed(change)(torch, torch.float32))
        result["in half"] = check.find_problem([check._answer(torch, PlainLlama(torch, torch.bfloat16))[0]] * 2,
            check.make_reference(torch, torch.bfloat16))
        result["in float16"] = check.find_problem([check._answer(torch, PlainLlama(torch, torch.float16))[0]] * 2,
            check.make_reference(torch, torch.float16))
        wrong = check.make_reference(torch, torch.float32, changed(json.loads(sys.argv[2])["no gate"]))
        result["a wrong reference"] = check.find_problem([book.answers] * 2, wrong)
    print(json.dumps(result))
"""


def test_models_that_compute_wrongly_are_found_out(real_vllm: real.Vllm) -> None:
    argv = [
        real_vllm.python,
        "-I",
        "-B",
        "-c",
        TRIED,
        str(launch_checks.CHECKS.parent),
        json.dumps(SABOTAGE),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result.pop("margin") >= tiny.MARGIN
    assert not result["nothing"]
    assert not result["in half"]
    assert not result["in float16"]
    for name in ("no rotary embedding", "heads of key and value confused", "no gate", "no mean"):
        assert "and plain torch says" in result[name], (name, result[name])
    assert "the tokens are right, but their leads are off by" in result["a value off by 1 %"]
    assert result["no number"]
    assert "torch itself is wrong here" in result["a wrong reference"]


@pytest.mark.long
def test_it_needs_no_compiler(
    real_vllm: real.Vllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM compiles the gathering of log-probabilities even if eager is enforced."""
    (tmp_path / "lscpu").symlink_to(
        str(shutil.which("lscpu"))
    )  # all that vLLM itself asks the system for
    monkeypatch.setenv("PATH", str(tmp_path))
    tried = real_vllm.tried("vllm_generates", tmp_path / "logs")
    (result,) = tried.checks
    assert result.outcome == "pass", result.summary
    *words, speed = tried.figures
    tokens = "; ".join(" ".join(map(str, answer)) for answer in tiny.ANSWERS)
    assert {word.name: word.value for word in words} == {
        "tokens": tokens,
        "attention backend": "CPU_ATTN",
        "precision": "float32",
    }
    assert (speed.name, speed.unit, speed.better) == ("generation", "tokens/s", "higher")
    assert len(speed.samples) == speed.repeats >= 5


@twin_of("vllm_generates")
def test_of_a_wrong_answer_the_words_are_kept_and_no_speed_is() -> None:
    evidence = {"backend": [], "precision": "float32", "start_s": 1.0}
    result = judge([changed(tokens=WRONG)] * 2, BOOK, evidence)
    assert not result.passed
    assert [figure.name for figure in result.figures] == [
        "tokens",
        "attention backend",
        "precision",
    ]
    assert " ".join(map(str, WRONG)) in str(result.figures[0].value)
