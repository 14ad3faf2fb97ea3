"""Settings from config.yaml and --set, and the errors of wrong ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from provision import settings as settings_module
from provision.errors import Failure, WrongSetting
from provision.settings import FlashAttnSettings, Settings, SourceSettings, for_fingerprint, load

SHIPPED = Path(__file__).parents[1] / "config.yaml"


def refused(text: str | None, *overrides: str) -> WrongSetting:
    with pytest.raises(WrongSetting) as caught:
        load(text, "config.yaml", overrides)
    return caught.value


def test_config_yaml_has_every_setting_with_its_default() -> None:
    text = SHIPPED.read_text()
    assert load(text, "config.yaml") == Settings()
    names = [
        *Settings.__struct_fields__,
        *FlashAttnSettings.__struct_fields__,
        *SourceSettings.__struct_fields__,
    ]
    names_in_file = {
        line.split(":")[0].strip() for line in text.splitlines() if not line.startswith("#")
    }
    assert set(names) <= names_in_file


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "---\n"])
def test_an_empty_file_means_every_default(text: str | None) -> None:
    assert load(text, "config.yaml") == Settings()


def test_overrides_win_over_the_file() -> None:
    text = 'vllm: "0.32.*"\nflash_attn: {mode: none}\nsources: {github: false}\n'
    settings = load(text, "config.yaml", ["vllm=0.25.1", "flash_attn.flavour=3"])
    assert (settings.vllm, settings.flash_attn, settings.sources.github) == (
        "0.25.1",
        FlashAttnSettings(mode="none", flavour="3"),
        False,
    )


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("python=3.10", "python", "3.10"),
        ("cuda=12.9", "cuda", "12.9"),
        ("torch=2.13.0+cu129", "torch", "2.13.0+cu129"),
        ("vllm=0.6.3.post1", "vllm", "0.6.3.post1"),
        ("vllm=0.32.*", "vllm", "0.32.*"),
        ("exclude_vllm=0.33.0", "excluded_vllm", ["0.33.0"]),
        ("exclude_vllm=0.33", "excluded_vllm", ["0.33"]),
        ("exclude_vllm=[0.33.0, 0.31.*]", "excluded_vllm", ["0.33.0", "0.31.*"]),
        ("exclude_vllm=[]", "excluded_vllm", []),
        ("gpus=all", "gpus", "all"),
        ("gpus=[0, 1]", "gpus", [0, 1]),
        ('gpus=["0:1"]', "gpus", ["0:1"]),
        ("keep=3", "keep", 3),
        ("prefix=true", "prefix", "true"),
        ("prefix=/data/[x", "prefix", "/data/[x"),
        ("prefix=a=b", "prefix", "a=b"),
        ("prefix=~/envs", "prefix", os.path.expanduser("~/envs")),
        ("extra_packages=[datasets>=4]", "extra_packages", ["datasets>=4"]),
        ("extra_packages=[datasets, 'a>1']", "extra_packages", ["datasets", "a>1"]),
        ("extra_packages=[flash-attn-jax]", "extra_packages", ["flash-attn-jax"]),
        ("flash_attn={mode: none}", "flash_attn", FlashAttnSettings(mode="none")),
    ],
)
def test_an_override_is_read_as_the_type_of_its_setting(
    override: str, key: str, value: object
) -> None:
    assert getattr(load(None, "config.yaml", [override]), key) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [("false", False), ("true", True), ("https://m.example/s", "https://m.example/s")],
)
def test_a_source_is_a_switch_or_an_address(word: str, value: object) -> None:
    assert load(None, "config.yaml", [f"sources.pypi={word}"]).sources.pypi == value
    assert load(f"sources: {{pypi: {word}}}", "config.yaml").sources.pypi == value


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("vllm: 0.25", 1, "vllm: YAML reads 0.25 as a number", 'write vllm: "0.25"'),
        ("\npython: 3.10", 2, "python: YAML reads 3.10 as a number", 'write python: "3.10"'),
        ("cuda: 12.9", 1, "cuda: YAML reads 12.9", 'write cuda: "12.9"'),
        (
            "flash_attn:\n  flavour: 3",
            2,
            "flash_attn.flavour: `3` does not fit",
            'write "2", "3" or "4"',
        ),
        ("vlm: latest", 1, "there is no `vlm` here", "did you mean `vllm`?"),
        (
            "flash_attn: {mod: none}",
            1,
            "flash_attn: there is no `mod` here",
            "did you mean `mode`?",
        ),
        ("colour: red", 1, "there is no `colour` here", "known: vllm, exclude_vllm, torch"),
        ("profile: gpu", 1, "profile: `gpu` does not fit here", "write auto, cpu or cuda"),
        (
            "flash_attn: none",
            1,
            "flash_attn: `none` does not fit here",
            "write flash_attn: {mode: none}",
        ),
        (
            "flash_attn: 3",
            1,
            "flash_attn: `3` does not fit here",
            'write flash_attn: {flavour: "3"}',
        ),
        ("flash_attn: off", 1, "flash_attn: `off` does not fit here", "write {mode: …}"),
        (
            "extra_packages: datasets",
            1,
            "extra_packages: `datasets` does not fit",
            "write extra_packages: [datasets]",
        ),
        (
            f'extra_packages: ["a ; {"(" * 100_000}"]',
            1,
            "is nested too deeply",
            "",
        ),
        ("keep: two", 1, "keep: `two` does not fit here", "write a whole number"),
        ("keep: 0", 1, "keep: at least one", "write keep: 1"),
        ("vllm: newest", 1, "vllm: `newest` is not a version", "write latest"),
        ('vllm: ">=0.25"', 1, "vllm: `>=0.25` is not a version", '"0.32.*"'),
        ('vllm: "0.32.dev1.*"', 1, "is not a version", '"0.32.*"'),
        (f'vllm: "{"9" * 5000}"', 1, "is not a version", '"0.32.*"'),
        ('vllm: "٣.٣"', 1, "is not a version", '"0.32.*"'),
        ('torch: "latest"', 1, "torch: `latest` is not a version", "write auto"),
        ('python: "3"', 1, "python: `3` is not a version", "3.12"),
        ('python: "3.12.1"', 1, "python: `3.12.1` is not a version", "3.12"),
        ('cuda: "13"', 1, "cuda: `13` is not a version", "12.9"),
        (
            "exclude_vllm: bananas",
            1,
            "exclude_vllm: `bananas` is not a version",
            '"0.33.0" or "0.32.*"',
        ),
        (
            "exclude_vllm:\n- 0.33.0\n- bananas",
            3,
            "exclude_vllm[1]: `bananas` is not a version",
            '"0.32.*"',
        ),
        ("exclude_vllm: 0.33", 1, "exclude_vllm: YAML reads 0.33", 'write exclude_vllm: "0.33"'),
        ("gpus: 0", 1, "gpus: `0` does not fit here", "write gpus: [0]"),
        ("gpus: [true]", 1, "gpus[0]: `true` does not fit here", "a whole number or text"),
        (
            "sources:\n  pypi: no",
            2,
            "sources.pypi: `no` is not an address",
            "write true, false or https",
        ),
        ('prefix: ""', 1, "prefix: '' is not a valid folder name", "write prefix:"),
        ('logs: "\\0"', 1, "logs: ", "write logs:"),
        ("extra_packages:\n- ok\n- a b", 3, "extra_packages[1]: `a b`", "datasets>=4"),
        (
            "extra_packages: [flash-attn]",
            1,
            "`flash-attn`: flash-attn has its own settings",
            "write flash_attn: {mode: auto}",
        ),
        (
            "extra_packages: [Flash_Attn==2.8.3]",
            1,
            "extra_packages[0]: `Flash_Attn==2.8.3`",
            "wheels import",
        ),
        (
            "extra_packages: [flash.attn-3]",
            1,
            "has its own settings",
            'write flash_attn: {flavour: "3"}',
        ),
        ("extra_packages: [4]", 1, "extra_packages[0]: YAML reads 4 as a number", 'write "4"'),
        ("- a", 1, "a list does not fit here", "write {vllm: …}"),
    ],
)
def test_a_wrong_value_in_the_file_has_line_and_hint(
    text: str, line: int, says: str, hint: str
) -> None:
    failure = refused(text)
    assert failure.where == f"config.yaml:{line}"
    assert says in failure.what
    assert hint in failure.hint
    assert failure.exit_code == 2


@pytest.mark.parametrize(
    ("override", "says", "hint"),
    [
        ("vlm=x", "there is no setting `vlm`", "did you mean `vllm`?"),
        (
            "flash_attn.mod=x",
            "there is no setting `flash_attn.mod`",
            "did you mean `flash_attn.mode`?",
        ),
        ("vllm.x=1", "there is no setting `vllm.x`", "did you mean `vllm`?"),
        ("=1", "there is no setting ``", "known: vllm"),
        ("vllm", "the value is missing", "write --set vllm=VALUE"),
        ("vllm=x", "vllm: `x` is not a version", "write latest"),
        ("vllm=", "vllm: `` is not a version", "write latest"),
        (
            "exclude_vllm=bananas",
            "exclude_vllm: `bananas` is not a version",
            '"0.33.0" or "0.32.*"',
        ),
        ("exclude_vllm=[0.33.0, bananas]", "exclude_vllm[1]: `bananas` is not a version", "0.32.*"),
        ("profile=gpu", "profile: `gpu` does not fit", "write auto, cpu or cuda"),
        ("gpus=0,1", "gpus: `0,1` does not fit", "write --set gpus=[0,1]"),
        ("gpus=0", "gpus: `0` does not fit", "write --set gpus=[0]"),
        ("gpus=al", "gpus: `al` does not fit", "write all, auto or a list"),
        ("flash_attn=none", "flash_attn: `none` does not fit", "write --set flash_attn.mode=none"),
        ("keep=many", "keep: `many` does not fit", "write a whole number"),
        ("sources.pypi=no", "sources.pypi: `no` is not an address", "write true, false"),
        (
            "extra_packages=datasets",
            "extra_packages: `datasets` does not fit",
            "write --set extra_packages=[datasets]",
        ),
        (
            "extra_packages=[a, flash-attn-4>4]",
            "extra_packages[1]: `flash-attn-4>4`",
            'flash_attn: {flavour: "4"}',
        ),
        ("prefix=\udcff", "contains characters", "plain text"),
        ("prefix=", "prefix: '' is not a valid folder name", "write prefix:"),
        ("prefix=/a,b", "prefix: '/a,b' is not a valid folder name", "write prefix:"),
    ],
)
def test_a_wrong_override_has_a_hint(override: str, says: str, hint: str) -> None:
    failure = refused("vllm: latest\n", override)
    assert failure.where in (f"--set {override}", "--set prefix")
    assert says in failure.what
    assert hint in failure.hint


def test_a_list_of_versions_needs_no_quotes_on_the_command_line() -> None:
    meanings = settings_module._meanings("[0.33, 0.32.1, true]", "", is_version=True)
    assert meanings[1] == ["0.33", "0.32.1", True]


def test_a_wrong_version_in_a_list_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings_module._SHAPES, "extra_packages", (r"\d+", "a number"))
    failure = refused("extra_packages:\n- '1'\n- bananas\n")
    assert failure.where == "config.yaml:3"
    assert str(failure.what) == "extra_packages[1]: `bananas` is not a version"


def test_a_new_setting_changes_no_fingerprint_until_it_is_used() -> None:
    """Environments of the first release stay valid although Settings has more fields today."""
    first = {
        *("vllm", "torch", "cuda", "python", "gpus", "profile", "flash_attn", "sources"),
        *("extra_packages", "prefix", "logs", "keep"),
    }
    assert set(for_fingerprint(Settings(vllm="0.25.1", keep=3, tasks="mine"))) == first
    assert for_fingerprint(Settings(vllm="0.25.1")) != for_fingerprint(Settings())


def complaint(read: Callable[[], object]) -> Failure | None:
    """Return the failure of the reader, if any; any other exception is a bug."""
    try:
        read()
    except Failure as failure:
        return failure
    return None


NAMES = st.sampled_from(
    [*Settings.__struct_fields__, "sources.pypi", "flash_attn.mode", "flash_attn", "x"]
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["[", "{a: b}", "*x", "!!int 3", "1e999", "-1", "9" * 400, "\ud800", "\0", "0.1.*", "a\nb"]
    ),
)


@tries(max_examples=200, deadline=None)
@given(st.builds("{}={}".format, NAMES, VALUES))
def test_any_override_is_accepted_or_refused(override: str) -> None:
    failure = complaint(lambda: load(None, "config.yaml", [override]))
    assert failure is None or (failure.exit_code == 2 and failure.hint.strip())


@tries(max_examples=150, deadline=None)
@given(st.lists(st.builds("{}: {}".format, NAMES, VALUES), max_size=4).map("\n".join))
def test_any_file_is_accepted_or_refused(text: str) -> None:
    failure = complaint(lambda: load(text, "config.yaml"))
    assert failure is None or (failure.where.startswith("config.yaml") and failure.hint.strip())
