"""The hash of a request: it must stay the same as long as the request does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from provision.engine import resolution_cache
from provision.host import from_text
from provision.settings import load
from provision.steps.model import Lock, Pin, Wheel
from tests.engine.synthetic import PLAN

if TYPE_CHECKING:
    from pathlib import Path

HOST = from_text.parse(
    """
gpus: [{name: NVIDIA H100 80GB HBM3}]
driver: "580.65.06"
python: "3.12"
glibc: "2.39"
machine: x86_64
""",
    "host.yaml",
)
# Computed before `exclude_vllm` existed: prefixes made then are still found to need nothing.
BEFORE = "21e064473b87e80da6c9e35b30e879e7c521b6e7c1bb2628902fb88d7f5444d0"


def request(*overrides: str) -> str:
    return resolution_cache.wish(HOST, load(None, "config.yaml", overrides))


def test_a_new_setting_at_its_default_keeps_the_hash_of_earlier_versions() -> None:
    assert request() == request("exclude_vllm=[]") == BEFORE


def test_an_excluded_version_is_another_request() -> None:
    assert request("exclude_vllm=0.33.0") != BEFORE


def test_a_flipped_bit_makes_a_resolution_unreadable(tmp_path: Path) -> None:
    pin = Pin(name="toy", version="1.0", wheel=Wheel(url="file:///toy.whl", sha256="abcd"))
    resolution = resolution_cache.Resolution(
        wish="", plan=PLAN, lock=Lock(pins=(pin,)), host_python="/usr/bin/python3"
    )
    resolution_cache.save(tmp_path, resolution)
    assert resolution_cache.load(tmp_path) == resolution
    path = tmp_path / ".wanted.json"
    path.write_bytes(path.read_bytes().replace(b"abcd", b"abce"))
    assert resolution_cache.load(tmp_path) is None
    path.write_bytes(msgspec.json.encode(resolution))
    assert resolution_cache.load(tmp_path) == resolution, "of an earlier version"
