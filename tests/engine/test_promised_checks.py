"""Only checks whose needs the plan, lock, GPUs and tools meet are promised."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from provision.engine import launch_checks, promised_checks
from provision.engine.launch_checks import CheckDescription, CheckNeeds
from provision.plan._model import Plan, UsedGpus
from provision.steps.model import Lock
from tests.engine.synthetic import PLAN

NEEDS = {
    "anything": CheckNeeds(),
    "cuda": CheckNeeds(profile="cuda", gpus=1),
    "two": CheckNeeds(gpus=2),
    "ampere": CheckNeeds(capability=(8, 0)),
    "compiler": CheckNeeds(tools=("c++ g++",)),
    "served": CheckNeeds(serving=True),
    "packed": CheckNeeds(distributions=("flash-attn",)),
}


@pytest.fixture(autouse=True)
def only_these_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        CheckDescription(name=name, profile="quick", needs=needs) for name, needs in NEEDS.items()
    ]
    checks.append(CheckDescription(name="deep", profile="full"))
    monkeypatch.setattr(launch_checks, "discover", lambda: checks)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")


def plan(profile: str = "cuda", used: str = "0", capability: str = "") -> Plan:
    gpus = UsedGpus(used=tuple(used.split()), capabilities=(capability,) if capability else ())
    return msgspec.structs.replace(PLAN, profile=profile, gpus=gpus)


def promised(of: Plan) -> set[str]:
    return set(promised_checks.choose_promised(of, Lock(pins=())))


def test_a_check_that_a_host_cannot_prove_is_not_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    one_gpu = {"anything", "cuda", "ampere", "compiler"}
    assert promised(plan()) == one_gpu
    assert promised(plan(used="0 1", capability="9.0")) == one_gpu | {"two"}
    assert promised(plan(used="0:0 0:1", capability="9.0")) == one_gpu, (
        "MIG slices are not two GPUs for one process"
    )
    assert promised(plan(capability="7.5")) == one_gpu - {"ampere"}
    assert promised(plan(capability="12.0")) == one_gpu, "versions are compared as numbers"
    assert promised(plan(profile="cpu", used="")) == {"anything", "two", "ampere", "compiler"}
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "c++" else f"/bin/{name}")
    assert promised(plan()) == one_gpu, "the other compiler is installed"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert promised(plan()) == one_gpu - {"compiler"}


def test_a_vllm_for_cuda_is_expected_to_pass_on_a_gpu() -> None:
    python = promised_checks.Interpreter(
        executable="", version="", prefix="", profile="cuda", packages={}
    )
    one_gpu = promised_checks.choose_expected(python, "quick", ("0",), ())
    assert "cuda" in one_gpu
    assert promised_checks.choose_expected(python, "quick", (), ()) == one_gpu, (
        "skipped without a GPU, and a skip is not a pass"
    )
