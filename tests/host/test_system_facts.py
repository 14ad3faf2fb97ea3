"""Small facts of the system, each parsed from texts as real hosts give them."""

from __future__ import annotations

import pytest

from provision.doors.reading import Reading
from provision.host import glibc, kernel, limits, machine, os_release, selinux, shm, wsl
from provision.host._model import Missing
from tests.host.recorded import missing, value

ETC, USR = "file /etc/os-release", "file /usr/lib/os-release"
RELEASE = "file /proc/sys/kernel/osrelease"
GETCONF, LDD, MUSL = (
    "command getconf GNU_LIBC_VERSION",
    "command ldd --version",
    "files /lib/ld-musl-*.so.1",
)

UBUNTU = """PRETTY_NAME="Ubuntu 22.04.5 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
VERSION="22.04.5 LTS (Jammy Jellyfish)"
ID=ubuntu
ID_LIKE=debian
HOME_URL="https://www.ubuntu.com/"
"""
ROCKY = """NAME="Rocky Linux"
VERSION="9.4 (Blue Onyx)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.4"
PRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"
"""
ALPINE = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME="Alpine Linux v3.20"\n'
ARCH = (
    'NAME="Arch Linux"\nPRETTY_NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n# a comment = none\n'
)


@pytest.mark.parametrize(
    ("text", "id_", "version", "like"),
    [
        (UBUNTU, "ubuntu", "22.04", ("debian",)),
        (ROCKY, "rocky", "9.4", ("rhel", "centos", "fedora")),
        (ALPINE, "alpine", "3.20.3", ()),
        (ARCH, "arch", None, ()),
        (UBUNTU.replace("\n", "\r\n"), "ubuntu", "22.04", ("debian",)),
    ],
)
def test_the_operating_system(
    text: str, id_: str, version: str | None, like: tuple[str, ...]
) -> None:
    result = value(os_release.FACT, {ETC: text})
    assert isinstance(result, os_release.OsRelease)
    assert (result.id, result.version, result.like) == (id_, version, like)


def test_a_minimal_image_has_its_release_file_under_usr_only() -> None:
    result = value(os_release.FACT, {ETC: Reading(outcome="absent"), USR: ROCKY})
    assert isinstance(result, os_release.OsRelease)
    assert result.name == "Rocky Linux 9.4 (Blue Onyx)"


def test_a_release_file_that_names_nothing_is_unparsable() -> None:
    assert missing(os_release.FACT, {ETC: "VERSION=1\n"}).why == "unparsable"


def test_an_unbalanced_quote_costs_nothing_else() -> None:
    result = value(os_release.FACT, {ETC: 'ID=debian\nPRETTY_NAME="Debian\nVERSION_ID="12"\n'})
    assert isinstance(result, os_release.OsRelease)
    assert (result.name, result.version) == ("Debian", "12")


@pytest.mark.parametrize(
    ("release", "inside_windows"),
    [
        ("6.8.0-45-generic\n", False),
        ("5.14.0-427.13.1.el9_4.x86_64\n", False),
        ("5.15.153.1-microsoft-standard-WSL2\n", True),
        ("4.4.0-19041-Microsoft\n", True),
        ("6.1.0-1026-nvidia-64k\n", False),
    ],
)
def test_kernel_and_wsl(release: str, inside_windows: bool) -> None:
    assert value(kernel.FACT, {RELEASE: release}) == release.strip()
    assert value(wsl.FACT, {RELEASE: release}) is inside_windows


@pytest.mark.parametrize("text", ["", "\n", "no such thing", "6.8 0"])
def test_what_is_no_kernel_release_is_unparsable(text: str) -> None:
    assert missing(kernel.FACT, {RELEASE: text}).why == "unparsable"


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("x86_64\n", "x86_64"),
        ("aarch64\n", "aarch64"),
        ("arm64\n", "aarch64"),
        ("ppc64le", "ppc64le"),
    ],
)
def test_the_machine(answer: str, name: str) -> None:
    assert value(machine.FACT, {"command uname -m": answer}) == name


@pytest.mark.parametrize(
    ("readings", "version"),
    [
        ({GETCONF: "glibc 2.36\n"}, "2.36"),
        ({LDD: "ldd (Ubuntu GLIBC 2.35-0ubuntu3.8) 2.35\nCopyright (C) 2022\n"}, "2.35"),
        ({LDD: "ldd (Debian GLIBC 2.36-9+deb12u8) 2.36\n"}, "2.36"),
        ({LDD: "ldd (GNU libc) 2.34\n"}, "2.34"),
        ({GETCONF: Reading(outcome="failed"), LDD: "ldd (GNU libc) 2.28\n"}, "2.28"),
        (
            {GETCONF: "glibc 2.39\n", MUSL: {"/lib/ld-musl-x86_64.so.1": ""}},
            "2.39",
        ),  # Debian with musl beside
    ],
)
def test_the_c_library(readings: dict[str, object], version: str) -> None:
    assert value(glibc.FACT, readings) == version


def test_musl_is_named_as_what_it_is() -> None:
    words = "musl libc (x86_64)\nVersion 1.2.4\nDynamic Program Loader\nUsage: ldd [options] [--] pathname\n"
    alpine = {
        GETCONF: Reading(outcome="failed", detail="getconf: GNU_LIBC_VERSION: unknown variable"),
        LDD: Reading(outcome="failed", text=words, detail="ldd --version ended with status 1"),
        MUSL: {"/lib/ld-musl-x86_64.so.1": ""},
    }
    assert missing(glibc.FACT, alpine) == Missing(
        why="absent", detail="musl libc 1.2.4: vLLM's wheels need glibc"
    )
    del alpine[LDD]
    assert missing(glibc.FACT, alpine).detail == "musl libc: vLLM's wheels need glibc"


def test_an_ldd_that_says_nothing_of_a_version_is_unparsable() -> None:
    assert missing(glibc.FACT, {LDD: "ldd: some other program\n"}).why == "unparsable"


@pytest.mark.parametrize(("answer", "state"), [("1", "enforcing"), ("0", "permissive")])
def test_selinux(answer: str, state: str) -> None:
    assert value(selinux.FACT, {"file /sys/fs/selinux/enforce": answer}) == state


def test_shared_memory_of_a_container_is_told_apart_from_none() -> None:
    assert value(shm.FACT, {"probe shm": {"total": 67108864, "free": 67108864}}) == shm.Shm(
        total_gb=0.062, free_gb=0.062
    )
    assert missing(shm.FACT, {"probe shm": Reading(outcome="absent")}).why == "absent"


LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max processes             96365                96365                processes
Max open files            1024                 1048576              files
Max locked memory         8388608              unlimited            bytes
"""


def test_limits_keep_unlimited_apart_from_numbers() -> None:
    result = value(limits.FACT, {"file /proc/self/limits": LIMITS})
    assert isinstance(result, limits.Limits)
    assert result.memlock == limits.Limit(soft=8388608, hard=None)
    assert result.nofile == limits.Limit(soft=1024, hard=1048576)
    assert result.nproc == limits.Limit(soft=96365, hard=96365)
    assert missing(limits.FACT, {"file /proc/self/limits": LIMITS[:200]}).why == "unparsable"


@pytest.mark.parametrize("why", ["absent", "refused", "timed out", "failed"])
def test_the_kinds_of_missing_stay_what_they_were(why: str) -> None:
    reading = Reading(outcome=why, detail="as read")  # type: ignore[arg-type]  # each is one of the outcomes
    assert missing(kernel.FACT, {RELEASE: reading}) == Missing(why=why, detail="as read")  # type: ignore[arg-type]  # likewise
