"""The processes that compile flash-attn on 24 hosts, by cores, free memory and control group."""

from __future__ import annotations

import pytest

from provision.plan.choose_jobs import PROCESS_GB, REST_GB, Jobs, choose

# cores, free GB, control group's GB, architectures -> jobs (0: none fits), threads, peak GB, hours
TABLE: list[tuple[int, float, float | None, int, int, int, float, float]] = [
    (1, 8.0, None, 1, 1, 1, 7, 2.70),
    (1, 64.0, None, 1, 1, 1, 7, 2.70),
    (2, 7.9, None, 1, 0, 0, 0, 0),
    (2, 14.9, None, 1, 1, 1, 7, 2.70),
    (2, 15.0, None, 1, 2, 1, 14, 1.35),
    (2, 60.0, None, 1, 2, 1, 14, 1.35),
    (2, 60.0, None, 4, 2, 1, 14, 5.40),
    (4, 5.2, None, 1, 0, 0, 0, 0),
    (4, 16.0, None, 1, 2, 1, 14, 1.35),
    (4, 32.0, None, 2, 4, 1, 28, 1.35),
    (8, 32.0, None, 1, 4, 1, 28, 0.675),
    (8, 32.0, 16.0, 1, 2, 1, 14, 1.35),
    (8, 32.0, 64.0, 1, 4, 1, 28, 0.675),
    (8, 64.0, 4.0, 1, 0, 0, 0, 0),
    (16, 128.0, None, 1, 16, 1, 112, 0.16875),
    (16, 128.0, 33.0, 2, 4, 1, 28, 1.35),
    (32, 64.0, None, 1, 9, 1, 63, 0.3),
    (64, 251.0, None, 1, 35, 1, 245, 2.7 / 35),
    (72, 480.0, None, 1, 68, 1, 476, 2.7 / 68),
    (96, 2000.0, None, 1, 73, 1, 511, 2.7 / 73),
    (96, 2000.0, None, 4, 73, 1, 511, 10.8 / 73),
    (160, 2000.0, None, 2, 73, 2, 1022, 5.4 / 146),
    (224, 2000.0, None, 4, 73, 3, 1533, 10.8 / 219),
    (224, 2000.0, 1100.0, 4, 73, 2, 1022, 10.8 / 146),
]


@pytest.mark.parametrize(
    ("cores", "free", "limit", "arches", "jobs", "threads", "peak", "hours"), TABLE
)
def test_jobs(
    cores: int,
    free: float,
    limit: float | None,
    arches: int,
    jobs: int,
    threads: int,
    peak: float,
    hours: float,
) -> None:
    chosen = choose(cores, free, limit, arches)
    if jobs:
        assert isinstance(chosen, Jobs), chosen
        assert (chosen.jobs, chosen.threads, chosen.peak_gb) == (jobs, threads, peak)
        assert chosen.hours == pytest.approx(hours)
    else:
        assert isinstance(chosen, str)


def test_the_peak_is_never_above_what_is_there() -> None:
    for cores in (1, 2, 3, 16, 73, 74, 192, 512):
        for there in range(4, 4000, 7):
            for arches in (1, 2, 4):
                chosen = choose(cores, float(there), None, arches)
                if isinstance(chosen, Jobs):
                    assert (
                        chosen.peak_gb
                        == chosen.jobs * chosen.threads * PROCESS_GB
                        <= there - REST_GB
                    )
                    assert chosen.jobs * chosen.threads <= cores
                else:
                    assert there < PROCESS_GB + REST_GB


def test_what_to_do_where_not_one_file_fits() -> None:
    reason = choose(4, 5.2, None, 1)
    assert reason == (
        "compiling one file needs 7 GB beside 1 GB for everything else; this host has 5.2 GB"
        " free: free some memory, or build on "
        "another host and bring the wheel with `./setup.sh wheels import`"
    )
    limited = choose(4, 64.0, 6.0, 1)
    assert isinstance(limited, str)
    assert "this control group allows 6.0 GB more: raise its limit" in limited
