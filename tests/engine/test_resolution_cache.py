"""The hash of a request: it must stay the same as long as the request does."""

from __future__ import annotations

from provision.engine import resolution_cache
from provision.host import from_description
from provision.settings import load

HOST = from_description.parse(
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
