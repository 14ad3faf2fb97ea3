"""Probes of file systems: mounts, control groups, ACS, environments, settings of pip and uv."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from provision.host import _filesystem, _installer

MOUNTINFO = """22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 0:45 / /data rw,nosuid,nodev - nfs4 filer.example:/export rw,vers=4.2,addr=10.0.0.9
32 31 0:46 / /data/scratch ro,noexec - lustre mgs@o2ib:/fs rw
33 22 0:47 / /with\\040space rw - tmpfs tmpfs rw,noexec
"""


def mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """Answers for /proc/self/mountinfo with a text of another host."""
    (tmp_path / "mountinfo").write_text(text)
    real = Path.read_text

    def read(path: Path, *args: str | None, **more: str | None) -> str:
        return real(
            tmp_path / "mountinfo" if str(path) == "/proc/self/mountinfo" else path, *args, **more
        )

    monkeypatch.setattr(Path, "read_text", read)


def test_the_longest_mount_point_holds_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    text = MOUNTINFO.replace("/data/scratch", f"{folder}").replace("/data", f"{tmp_path}")
    mounted(monkeypatch, tmp_path, text)
    result = _filesystem.disks({"prefix": f"{folder}/new", "logs": str(tmp_path), "checkout": "/"})
    assert (result["prefix"]["type"], result["prefix"]["options"]) == ("lustre", ["ro", "noexec"])
    assert (result["logs"]["type"], result["logs"]["options"]) == ("nfs4", ["nosuid", "nodev"])
    assert result["checkout"]["type"] == "ext4"
    assert [result[role]["exists"] for role in ("prefix", "logs", "checkout")] == [
        False,
        True,
        True,
    ]
    assert "filer" not in str(result)


@pytest.mark.parametrize(
    ("root", "path", "below"),
    [
        ("/", "/user.slice/session-3.scope", "user.slice/session-3.scope"),
        ("/docker/abc", "/docker/abc", ""),
        ("/docker/abc", "/docker/abc/inner", "inner"),
        ("/", "/", ""),
        ("/docker/abc", "/", ""),
        ("/docker/abc", "/docker/abcdef", ""),
    ],
)
def test_our_group_below_its_mount(root: str, path: str, below: str) -> None:
    assert _filesystem.cgroup_below(root, path) == below


@pytest.mark.parametrize(
    ("cgroup", "kind", "file", "root"),
    [
        ("0::/a.slice/b.scope\n", "cgroup2", "memory.max", "/"),
        (
            "9:memory:/a.slice/b.scope\n1:name=systemd:/\n0::/\n",
            "cgroup",
            "memory.limit_in_bytes",
            "/",
        ),
        (
            "9:cpu,memory:/docker/x/a.slice/b.scope\n",
            "cgroup",
            "memory.limit_in_bytes",
            "/docker/x",
        ),
    ],
)
def test_limits_are_read_from_our_group_up_to_its_mount(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cgroup: str, kind: str, file: str, root: str
) -> None:
    use, idle = (
        ("memory.current", "inactive_file")
        if kind == "cgroup2"
        else ("memory.usage_in_bytes", "total_inactive_file")
    )
    for name, limit, used in (
        ("a.slice/b.scope", "max", "10"),
        ("a.slice", "1073741824", "90"),
        (".", "2147483648", ""),
    ):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / file).write_text(f"{limit}\n")
        (tmp_path / name / use).write_text(f"{used}\n")
    (tmp_path / "a.slice" / "memory.stat").write_text(f"active_file 7\n{idle} 30\n")
    in_group(monkeypatch, cgroup, f"{root} {tmp_path} rw - {kind} {kind} rw,memory")
    result = {"kind": kind, "limits": ["max", "1073741824", "2147483648"], "used": [10, 60, None]}
    assert _filesystem.cgroup_memory() == result


@pytest.mark.parametrize(
    ("cgroup", "kind", "files", "root"),
    [
        ("0::/a.slice/b.scope\n", "cgroup2", {"cpu.max": "200000 100000"}, "/"),
        (
            "9:cpu,cpuacct:/a.slice/b.scope\n3:cpuset:/\n",
            "cgroup",
            {"cpu.cfs_quota_us": "200000", "cpu.cfs_period_us": "100000"},
            "/",
        ),
        ("0::/docker/x/a.slice/b.scope\n", "cgroup2", {"cpu.max": "200000 100000"}, "/docker/x"),
    ],
)
def test_quotas_are_read_from_our_group_up_to_its_mount(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cgroup: str,
    kind: str,
    files: dict[str, str],
    root: str,
) -> None:
    (tmp_path / "a.slice" / "b.scope").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "a.slice" / name).write_text(f"{text}\n")
    mounts = (
        f"{root} /elsewhere rw - cgroup cgroup rw,cpuset",
        f"{root} {tmp_path} rw - {kind} {kind} rw,cpu,cpuacct",
    )
    in_group(monkeypatch, cgroup, *mounts)
    assert _filesystem.cgroup_cpu() == {"kind": kind, "quotas": ["200000 100000"]}


def in_group(monkeypatch: pytest.MonkeyPatch, cgroup: str, *mounts: str) -> None:
    texts = {
        "/proc/self/cgroup": cgroup.splitlines(),
        "/proc/self/mountinfo": [f"31 23 0:32 {mount}" for mount in mounts],
    }
    monkeypatch.setattr(_filesystem, "_lines", texts.__getitem__)


def config_space(*capabilities: tuple[int, int]) -> bytes:
    """A bridge's configuration space with (capability, ACS control) one behind the other."""
    space = bytearray(4096)
    for n, (capability, control) in enumerate(capabilities):
        at, last = 0x100 + 0x40 * n, n == len(capabilities) - 1
        struct.pack_into(
            "<IHH",
            space,
            at,
            capability | 1 << 16 | (0 if last else at + 0x40) << 20,
            0x5F,
            control,
        )
    return bytes(space)


def test_acs_is_found_behind_other_capabilities() -> None:
    assert _filesystem.acs_redirects(config_space((0x0001, 0), (0x000D, 0x1D)))
    assert not _filesystem.acs_redirects(config_space((0x0001, 0), (0x000D, 0)))
    assert not _filesystem.acs_redirects(config_space((0x0001, 0xFFFF)))
    assert not _filesystem.acs_redirects(bytes(64))
    assert not _filesystem.acs_redirects(
        bytes(256) + struct.pack("<I", 0x0001 | 0x100 << 20) + bytes(60)
    )  # a circle


def test_packages_of_the_active_environment_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = tmp_path / "lib/python3.12/site-packages"
    for name in (
        "torch-2.8.0+cu128",
        "vllm-0.11.0",
        "requests-2.32.0",
        "flash_attn-2.8.3",
        "vllm_helper-1.0",
    ):
        (site / f"{name}.dist-info").mkdir(parents=True)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    result = _filesystem.packages()
    assert result
    assert result["distributions"] == ["flash_attn-2.8.3", "torch-2.8.0+cu128", "vllm-0.11.0"]
    monkeypatch.delenv("VIRTUAL_ENV")
    assert _filesystem.packages() is None


def test_the_environment_tells_values_of_an_allow_list_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        os,
        "environ",
        {
            "CUDA_HOME": "/c",
            "AWS_SECRET": "canary",
            "https_proxy": "http://canary",
            "HTTP_PROXY": "",
        },
    )
    assert _filesystem.environment() == {"variables": {"CUDA_HOME": "/c"}, "set": ["https_proxy"]}


GLOBAL = "[global]\nindex-url = https://a.example/simple\nextra_index_url =\n    https://b.example/1\n    https://b.example/2\n"
USER = "[global]\nfind-links = /srv/wheels\npassword = canary\n[install]\nindex-url = https://c.example/simple\n"


def test_pip_merges_files_sections_and_variables_as_pip_does() -> None:
    options = _installer.pip_options(
        [GLOBAL, "not = a section", USER], {"PIP_FIND_LINKS": "/env", "PIP_CERT": ""}
    )
    assert options == {
        "index-url": "https://c.example/simple",
        "extra-index-url": "\nhttps://b.example/1\nhttps://b.example/2",
        "find-links": "/env",
    }


def test_pips_files_are_taken_in_pips_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert _installer.pip_files({"VIRTUAL_ENV": "/venv"}) == [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        "/home/me/.pip/pip.conf",
        "/home/me/.config/pip/pip.conf",
        "/venv/pip.conf",
    ]
    own = tmp_path / "own.conf"
    own.write_text("")
    assert _installer.pip_files({"PIP_CONFIG_FILE": str(own)}) == [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        str(own),
    ]


UV = """# ours
index-url = "https://old.example/simple"
extra-index-url = [
  "https://b.example/1",
  'https://b.example/2',
]
[[index]]
name = "torch"
url = "https://torch.example/whl"
[[index]]
url = "https://new.example/simple"
default = true
[pip]
find-links = ["/not/an/index"]
"""


def test_uv_configuration_is_read_without_a_toml_library() -> None:
    assert _installer.uv_options([UV], {"UV_FIND_LINKS": "/env"}) == {
        "default-index": "https://new.example/simple",
        "extra-index-url": "https://b.example/1 https://b.example/2",
        "find-links": "/env",
        "index": "https://torch.example/whl",
        "index-url": "https://old.example/simple",
    }


def test_wheels_in_find_links_folders_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    (folder / "README").touch()
    links = f"{folder.as_uri()} https://w.example/ /no/such/folder"
    environ = {"HOME": str(tmp_path), "PIP_FIND_LINKS": links, "PIP_CONFIG_FILE": "/dev/null"}
    monkeypatch.setattr(os, "environ", environ)
    result = _installer.installer_config()
    assert result["wheels"] == ["torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"]
    assert result["pip"]["find-links"] == links
