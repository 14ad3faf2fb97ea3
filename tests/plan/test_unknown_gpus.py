"""GPUs whose name the catalogue lacks: they are named, and one added line makes a plan possible."""

from __future__ import annotations

import re

import pytest

from provision.errors import IncompleteHost
from provision.host import from_text
from provision.plan._model import Plan
from provision.session.planning import make_plan
from provision.settings import Settings
from tests.host.test_accelerators import HEAD
from tests.plan.described import CATALOGUE

CLOUD = f"""{HEAD}GPU models and configuration:
GPU 0: CF-NG-HZZ1-O
GPU 1: CF-NG-HZZ1-O

Nvidia driver version: 580.65.06
"""


def made(text: str) -> Plan:
    plan = make_plan(from_text.parse(text, "issue.txt"), Settings(), CATALOGUE)
    assert isinstance(plan, Plan), plan
    return plan


def test_the_added_line_of_the_hint_is_read() -> None:
    with pytest.raises(IncompleteHost) as failure:
        made(CLOUD)
    assert "GPU 0: `CF-NG-HZZ1-O` is unknown" in str(failure.value)
    line = re.search(r"add the line `(.*?)`", failure.value.hint)
    assert line is not None
    plan = made(f"{CLOUD}{line[1]}\n")
    assert (plan.gpus.used, plan.gpus.capabilities) == (("0", "1"), ("9.0",))


def test_the_warning_of_torch_tells_the_capability() -> None:
    warning = (
        "/opt/torch/cuda/__init__.py:283: UserWarning: Found GPU0 CF-NG-HZZ1-O which is of cuda"
        " capability 12.1."
    )
    plan = made(f"{warning}\n{CLOUD}")
    assert (plan.gpus.used, plan.gpus.capabilities) == (("0", "1"), ("12.1",))


def test_a_warning_tells_nothing_about_a_longer_name() -> None:
    warning = "Found GPU0 Card-X which is of cuda capability 8.6."
    text = CLOUD.replace("GPU 0: CF-NG-HZZ1-O", "GPU 0: Card-X").replace(
        "GPU 1: CF-NG-HZZ1-O", "GPU 1: Card-X00"
    )
    plan = made(f"{warning}\n{text}")
    assert (plan.gpus.used, plan.gpus.capabilities) == (("0",), ("8.6",))
