"""host/nvml.py: readings of NVML and their states; tests/doors tests the readings themselves."""

from __future__ import annotations

import pytest

from provision.doors.reading import Reading
from provision.host import nvml
from provision.host._model import Host, Missing


@pytest.mark.parametrize(
    ("reading", "state"),
    [
        (Reading(outcome="ok", text='{"cuda": "12.8"}'), "ok"),
        (Reading(outcome="failed", detail="NVML error 18: RM has detected an NVML/RM version mismatch."), "version mismatch"),
        (Reading(outcome="failed", detail="NVML error 9: Driver Not Loaded"), "driver not loaded"),
        (Reading(outcome="failed", detail="the child that reads NVML was ended by SIGSEGV"), "failed"),
        (Reading(outcome="absent", detail="NVML error 12: NVML Shared Library Not Found"), "no library"),
        (Reading(outcome="refused", detail="NVML error 4: Insufficient Permissions"), "no permission"),
        (Reading(outcome="timed out", detail="NVML did not answer within 10 s"), "timed out"),
    ],
)  # fmt: skip
def test_states(reading: Reading, state: str) -> None:
    answer = Host({nvml.SOURCE.key: reading}).known(nvml.FACT)
    assert answer is not None
    assert (answer.state, answer.detail) == (state, reading.detail)


def test_not_asked_is_not_an_answer() -> None:
    missing = Host({}).value(nvml.FACT)
    assert isinstance(missing, Missing)
    assert missing.why == "not read"


def test_a_document_cut_in_half_is_unparsable() -> None:
    missing = Host({nvml.SOURCE.key: Reading(outcome="ok", text='{"gpus": [{"ind')}).value(
        nvml.FACT
    )
    assert isinstance(missing, Missing)
    assert missing.why == "unparsable"
