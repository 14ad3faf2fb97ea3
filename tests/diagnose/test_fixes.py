"""Text of a log enters a command only in a strict form, and quoted."""

from __future__ import annotations

import html
import re
import shlex

import pytest

from provision.diagnose import catalogue, diagnose, fixes, on_host, pages
from provision.diagnose._model import Fix
from provision.host import from_text
from provision.host._model import Host
from tests.diagnose import texts

HOSTILE = [
    "2.9.1; rm -rf /",
    "$(id)",
    "`id`",
    "2.9.1 && x",
    "2.9\n1",
    "'; x '",
    "../../x",
    "\uff12.\uff19",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_leave_a_placeholder(value: str) -> None:
    command = fixes.filled(
        Fix(do="pip install torch=={torch}", costs="downloads"), {"torch": value}, {}
    )
    assert command == "pip install torch==TORCH  # downloads"


def test_a_value_in_its_form_is_filled() -> None:
    fix = Fix(do="pip install torch=={torch}")
    assert fixes.filled(fix, {"torch": "2.9.1+cu128"}, {}) == "pip install torch==2.9.1+cu128"
    assert fixes.filled(fix, {}, {}) == "pip install torch==TORCH"


@pytest.mark.parametrize("value", HOSTILE)
def test_no_hostile_text_reaches_a_fix(value: str) -> None:
    text = (
        f"torch=={value} vllm=={value} RuntimeError: operator torchvision::nms does not exist\n"
        f"SM 12.x requires CUDA >= {value}\nnvcc fatal : Unsupported gpu architecture 'compute_120'\n"
        f"/x/vllm/_C.abi3.so: undefined symbol: _ZN3c10{value}\n"
    )
    for finding in texts.diagnosed(text).findings:
        for fix in finding.fix:
            assert value not in fix
            assert "rm -rf /" not in fix


def test_every_field_of_a_fix_has_a_strict_form() -> None:
    fields = {
        name
        for cause in catalogue.load().causes.values()
        for fix in cause.fix
        for name in re.findall(r"\{(\w+)\}", fix.do)
    }
    assert fields
    assert fields <= set(fixes._STRICT)
    assert shlex.quote("2.9.1+cu128") == "2.9.1+cu128"


def test_pages_escape_what_a_browser_would_run() -> None:
    cause = next(iter(catalogue.load().causes.values()))
    page = pages.page(cause, ["<script>alert(1)</script> ```"])
    assert "```text\n<script>" in page  # in a fence, where nothing is HTML
    assert page.count("```") == 4
    assert html.escape("<b>") in pages._plain("<b>")


def test_a_host_alone() -> None:
    """Without a log, packages show the cause."""
    host = from_text.parse(
        "PyTorch version: 2.9.1+cpu\nGPU 0: NVIDIA A100-SXM4-40GB\nNvidia driver version: 550.54\n"
        "[pip3] flashinfer-python==0.6.1\n[pip3] flashinfer-cubin==0.6.0\n",
        "x",
    )
    told = diagnose.of_host(host)
    assert [finding.cause for finding in told.findings][:2] == [
        "torch-cpu-only-build",
        "flashinfer-package-version-mismatch",
    ]
    assert all(finding.host_facts for finding in told.findings)
    assert diagnose.of_host(Host(described={})).findings == ()


def test_every_sign_of_a_host_names_a_cause() -> None:
    source = on_host.__loader__.get_source(on_host.__name__) or ""  # type: ignore[union-attr]
    named = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)+)"', source))
    assert len(named & catalogue.load().causes.keys()) >= 12
