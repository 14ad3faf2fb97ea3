"""_figures: an invalid figure is named, makes its check an error, and affects no other check."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from checks import _figures
from checks._contract import Figure
from provision.engine import launch_checks
from provision.engine.launch_checks import CheckContext
from provision.results import CheckResults
from tests.checks.environments import SmallEnvironment, checks_folder

COPY = asdict(
    Figure("copy", 2.0, "GB/s", "higher", {"on": "GPU 0"}, (1.0, 2.0, 3.0), 3, "as timed")
)
WORD = asdict(Figure("backend", "FLASH_ATTN"))


def test_numbers_and_words_are_figures() -> None:
    assert not _figures.problem(
        [COPY, WORD, {**COPY, "of": {"on": "GPU 1"}}, {**COPY, "of": {}, "samples": [2.00004] * 3}]
    )
    assert not _figures.problem(())
    assert not _figures.problem([{**COPY, "of": {"at": str(at)}} for at in range(5_000)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "its name, unit and method must be text"),
        ({"name": 3}, "its name, unit and method must be text"),
        ({"unit": None}, "its name, unit and method must be text"),
        ({"method": ["x"]}, "its name, unit and method must be text"),
        ({"better": "faster"}, "better must be higher, lower or same"),
        ({"better": ["higher"]}, "better must be higher, lower or same"),
        ({"of": ["GPU 0"]}, "what it is of must be text"),
        ({"of": {"gpu": 0}}, "what it is of must be text"),
        ({"value": None}, "its value is neither a number nor a word"),
        ({"value": True}, "its value is neither a number nor a word"),
        ({"value": float("nan")}, "its value is neither a number nor a word"),
        ({"value": float("inf")}, "its value is neither a number nor a word"),
        ({"value": 10**400}, "its value is neither a number nor a word"),
        ({"value": 2.1}, "its value is 2.1, the median of its samples 2.0"),
        ({"value": "two"}, "a word has no samples, and better must be same"),
        (
            {"value": "two", "samples": (), "repeats": 0},
            "a word has no samples, and better must be same",
        ),
        ({"samples": (), "repeats": 0}, "a number needs samples"),
        ({"samples": (1.0, 3.0)}, "it was repeated 3 times and has 2 samples"),
        ({"samples": (1.0, float("nan"), 3.0)}, "its samples must be numbers"),
        ({"samples": (1.0, "2", 3.0)}, "its samples must be numbers"),
        ({"samples": 2.0}, "its samples must be numbers"),
        ({"repeats": "3"}, "it was repeated '3' times and has 3 samples"),
        ({"repeats": 3.0}, "it was repeated 3.0 times and has 3 samples"),
        (
            {"check": "another"},
            "it must have better, method, name, of, repeats, samples, unit, value",
        ),
    ],
)
def test_an_invalid_figure_is_named(change: dict[str, Any], says: str) -> None:
    assert _figures.problem([WORD, {**COPY, **change}]) == f"its figure 2 is invalid: {says}"


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ([WORD, COPY, WORD], "two of its figures are 'backend' of the same thing"),
        ([COPY] * 5_001, "it left 5001 figures; at most 5000 are allowed"),
        (7, "its figures are no list"),
        ({"name": "copy"}, "its figures are no list"),
        (["copy"], "its figure 1 is invalid: it must have"),
        ([{}], "its figure 1 is invalid: it must have"),
        ([{**WORD, "method": "x" * 100_000}], "its figures are too large: figure 1 has"),
        (
            [{**WORD, "method": "x" * 90_000, "of": {"at": str(at)}} for at in range(200)],
            "its figures are too large: figure 111 has",
        ),
    ],
)
def test_invalid_lists_of_figures_are_described(figures: Any, says: str) -> None:
    assert _figures.problem(figures).startswith(says)
    with pytest.raises(ValueError, match="figure"):
        _figures.as_json(figures)


MADE = """
from ._contract import Figure
def copy(value=2.0, samples=(1.0, 2.0, 3.0), repeats=3, **more):
    return Figure('copy', value, 'GB/s', 'higher', more, samples, repeats)
"""
RUBBISH = {
    "claimed_nan": "return Verdict(True, '', figures=(copy(float('nan')),))",
    "claimed_of_objects": "return Verdict(True, '', figures=(copy(gpu=object()),))",
    "claimed_odd": "return Verdict(True, '', figures=(copy(7.0),))",
    "claimed_twice": "return Verdict(True, '', figures=(copy(), copy()))",
    "claimed_none": "return Verdict(True, '', figures=None)",
    "claimed_a_million": "return Verdict(True, '', figures=(copy(),) * 1_000_000)",
    "left_nan": "leave([dict(vars(copy()), value=float('nan'))])",
    "left_a_word": "leave('copy')",
    "left_too_many": "leave([vars(copy())] * 10_000)",
    "left_without_end": "leave('x' * (65 << 20))",
    "left_infinite": "leave([dict(vars(copy()), repeats=10**400)])",
    "left_odd_gpus": "leave([], gpus=3)",
}


def tried(folder: Path, **bodies: str) -> CheckResults:
    checks = checks_folder(folder / "checks", **bodies)
    leaves = (
        "def leave(figures, gpus=()):\n"
        "    claim = dict(outcome='pass', summary='', figures=figures, gpus=gpus)\n"
        "    Path(os.getcwd(), '../claim.json').write_text(json.dumps(claim))\n"
        "    os._exit(0)\n"
    )
    for name in bodies:
        text = (checks / f"{name}.py").read_text()
        (checks / f"{name}.py").write_text(
            text.replace("weight, needs", f"{MADE}{leaves}weight, needs", 1)
        )
    python = SmallEnvironment(folder / "env").python
    return launch_checks.run(
        python,
        launch_checks.discover(checks),
        CheckContext(profile="cpu"),
        folder / "logs",
        folder=checks,
    )


def test_rubbish_is_an_error_with_a_sentence_and_hurts_no_other(tmp_path: Path) -> None:
    good = "return Verdict(True, 'fine', figures=(copy(on='GPU 0'), copy(on='GPU 1')), gpus=('0', '1'))"
    result = tried(tmp_path, a_good=good, z_good=good, **RUBBISH)
    results = {check.name: check for check in result.checks}
    assert set(results) == {"a_good", "z_good", *RUBBISH}
    for name in RUBBISH:
        assert results[name].outcome == "error", results[name]
        sentence = results[name].summary
        assert any(
            words in sentence
            for words in ("figure", "cannot be read", "a verdict of 65 MiB; at most 64 MiB")
        ), sentence
        assert not results[name].measured
    assert "at most 64 MiB are allowed" in results["left_without_end"].summary, (
        "it is not read at all"
    )
    assert [(figure.check, figure.of["on"], figure.samples) for figure in result.figures] == [
        (name, on, (1.0, 2.0, 3.0)) for name in ("a_good", "z_good") for on in ("GPU 0", "GPU 1")
    ]
    for name in ("a_good", "z_good"):
        assert (results[name].outcome, results[name].measured, results[name].gpus) == (
            "pass",
            2,
            ("0", "1"),
        )
