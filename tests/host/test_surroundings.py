"""Containers, schedulers, the environment and IOMMU, from marks that real surroundings leave."""

from __future__ import annotations

from typing import Any

import pytest

from provision.doors.reading import Reading
from provision.host import container, environment, iommu, scheduler
from tests.host.recorded import missing, value

(MARKS,) = (source.key for source in container.FACT.sources if source.key.startswith("files "))
CGROUP, HINTS = "file /proc/self/cgroup", "probe environment"
POD = "0::/kubepods.slice/kubepods-burstable.slice/kubepods-pod***.slice/cri-containerd-***.scope\n"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def hints(*names: str, **variables: str) -> dict[str, Any]:
    return {"variables": variables, "set": list(names)}


@pytest.mark.parametrize(
    ("readings", "engine", "kubernetes"),
    [
        ({CGROUP: "0::/user.slice/user-1000.slice/session-3.scope\n"}, None, False),
        ({CGROUP: "0::/\n", MARKS: {"/.dockerenv": ""}}, "docker", False),
        ({CGROUP: "12:memory:/docker/***\n0::/docker/***\n"}, "docker", False),
        ({CGROUP: "0::/system.slice/docker-***.scope\n"}, "docker", False),
        (
            {CGROUP: "0::/\n", MARKS: {"/run/.containerenv": 'engine="podman-4.9.3"\n'}},
            "podman",
            False,
        ),
        ({CGROUP: POD}, "containerd", True),
        ({CGROUP: "0::/\n", MARKS: {ACCOUNT: ""}}, "container", True),
        ({CGROUP: "0::/\n", HINTS: hints("KUBERNETES_SERVICE_HOST")}, "container", True),
        ({CGROUP: "0::/\n", MARKS: {"/run/systemd/container": "lxc\n"}}, "lxc", False),
        ({CGROUP: "0::/user.slice\n", MARKS: {"/.singularity.d": ""}}, "apptainer", False),
        ({CGROUP: "0::/user.slice\n", HINTS: hints("APPTAINER_CONTAINER")}, "apptainer", False),
        ({CGROUP: "0::/user.slice\n", HINTS: hints("container")}, "container", False),
    ],
)
def test_containers(readings: dict[str, Any], engine: str | None, kubernetes: bool) -> None:
    assert value(container.FACT, readings) == container.Container(
        engine=engine, kubernetes=kubernetes
    )


def slurm(*, commands: bool = True, slurmd: bool = False) -> dict[str, bool]:
    return {"slurm_commands": commands, "slurmd": slurmd}


@pytest.mark.parametrize(
    ("seen", "names", "expected"),
    [
        (slurm(), ["SLURM_JOB_ID"], ("slurm", "job")),
        (slurm(slurmd=True), [], ("slurm", "node")),
        (slurm(), [], ("slurm", "login")),
        (slurm(commands=False), ["KUBERNETES_SERVICE_HOST"], ("kubernetes", "pod")),
    ],
)
def test_schedulers(seen: dict[str, bool], names: list[str], expected: tuple[str, str]) -> None:
    result = value(scheduler.FACT, {"probe scheduler": seen, HINTS: hints(*names)})
    assert isinstance(result, scheduler.Scheduler)
    assert (result.name, result.place) == expected


def test_a_host_with_nothing_around_it() -> None:
    seen = {
        **slurm(commands=False),
        "slurm_conf": True,
    }  # older recordings say it; a configuration runs nothing
    assert missing(scheduler.FACT, {"probe scheduler": seen, HINTS: hints()}).why == "absent"


def test_the_environment_shows_values_of_some_and_the_presence_of_others() -> None:
    seen = hints("https_proxy", CUDA_HOME=":/usr/local/cuda", VLLM_ATTENTION_BACKEND="FLASHINFER")
    assert value(environment.FACT, {HINTS: seen}) == {
        "CUDA_HOME": ":/usr/local/cuda",
        "VLLM_ATTENTION_BACKEND": "FLASHINFER",
        "https_proxy": "set",
    }


GROUPS, CMDLINE, ACS = "files /sys/kernel/iommu_groups/[0-9]*", "file /proc/cmdline", "probe acs"


def test_iommu_of_a_server_with_redirection() -> None:
    readings = {
        GROUPS: {f"/sys/kernel/iommu_groups/{n}": "" for n in range(3)},
        CMDLINE: "BOOT_IMAGE=/vmlinuz root=UUID=*** ro intel_iommu=on iommu=pt quiet\n",
        ACS: {"bridges": 4, "redirecting": ["0000:16:01.0"]},
    }
    assert value(iommu.FACT, readings) == iommu.Iommu(
        groups=3, options=("intel_iommu=on", "iommu=pt"), acs_redirects=True
    )


def test_iommu_seen_without_root() -> None:
    readings = {
        CMDLINE: "quiet\n",
        GROUPS: Reading(outcome="absent"),
        ACS: Reading(outcome="refused"),
    }
    assert value(iommu.FACT, readings) == iommu.Iommu(groups=0, acs_redirects=None)
