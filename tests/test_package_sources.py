"""The address of each package source."""

from __future__ import annotations

from provision import package_sources
from provision.settings import load

OWN = "https://mirror.example/simple/"


def test_uv_wins_over_pip_and_its_new_name_over_the_old() -> None:
    pip = {"index-url": "https://pip.example/"}
    assert package_sources.configured({"uv": {}, "pip": {}}) is None
    assert package_sources.configured({"uv": {}, "pip": pip}) == "https://pip.example/"
    assert (
        package_sources.configured({"uv": {"index-url": "https://old.example/"}, "pip": pip})
        == "https://old.example/"
    )
    uv = {"default-index": "https://new.example/", "index-url": "https://old.example/"}
    assert package_sources.configured({"uv": uv, "pip": pip}) == "https://new.example/"


def test_the_index_of_the_host_replaces_pypi() -> None:
    assert package_sources.addresses(load(None, "config.yaml"), OWN) == {
        "pypi": OWN,
        "pytorch": package_sources.PYTORCH,
        "vllm": package_sources.VLLM,
        "github": package_sources.GITHUB,
    }


def test_a_mirror_in_the_settings_wins_and_a_disabled_source_is_left_out() -> None:
    settings = load(
        "sources: {pypi: https://other.example/, github: false}",
        "config.yaml",
        ["sources.vllm=false"],
    )
    assert package_sources.addresses(settings, OWN) == {
        "pypi": "https://other.example/",
        "pytorch": package_sources.PYTORCH,
    }
