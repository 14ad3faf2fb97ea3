"""The files of causes are complete, name each other rightly, and each has a text that shows it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from provision.diagnose import catalogue, literals, pages
from tests.diagnose import texts

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "causes"
CAUSES = catalogue.load().causes


def examples() -> dict[str, list[str]]:
    """Return the lines of cases and messages that led to each cause."""
    found: dict[str, list[str]] = {}
    for case in (*texts.forms(), *texts.cases().values()):
        wanted = case.get("cause") or case["cause_key"]
        text = case.get("text") or texts.text_of(case)
        told = texts.diagnosed(text, texts.host_of(case)).findings
        if told and told[0].cause == wanted and told[0].evidence:
            found.setdefault(wanted, []).append(told[0].evidence[0].text)
    return found


def test_the_vocabulary_of_the_cases_is_covered() -> None:
    keys = {case["cause_key"] for case in texts.cases().values()}
    assert len(keys) == 63
    assert keys <= CAUSES.keys()


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_names_others_that_exist(name: str) -> None:
    cause = CAUSES[name]
    named = {*cause.yields_to, *(one.cause for one in cause.look_alikes)}
    assert named <= CAUSES.keys() - {name}
    assert cause.cause.endswith(".")
    assert cause.shows
    assert cause.fix
    assert cause.sources


@pytest.mark.parametrize("name", CAUSES)
def test_a_proof_by_a_check_names_one_that_exists(name: str) -> None:
    proof = re.match(r"\./setup\.sh check ([a-z_0-9 ]+)$", CAUSES[name].proof)
    for check in proof[1].split() if proof else ():
        assert (ROOT / "checks" / f"{check}.py").exists(), check


def test_every_cause_is_shown_by_a_text() -> None:
    shown = {case.get("cause") or case["cause_key"] for case in texts.forms()}
    shown |= {case["cause_key"] for case in texts.cases().values()}
    assert CAUSES.keys() - shown == set()


def test_every_pattern_requires_a_word_and_none_is_slow() -> None:
    known = catalogue.load()
    for pattern, compiled in known.patterns.items():
        assert literals.required(pattern), pattern
        for word in sorted(literals.required(pattern))[:1]:
            line = f"{word} " * (4000 // (len(word) + 1))
            began = time.perf_counter()
            compiled.search(line)
            assert time.perf_counter() - began < 0.5, pattern


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("abc.def", {"abc"}),
        ("(?:foo|bar)\\d+", {"foo", "bar"}),
        ("ab|cdef", set()),
        ("x+yyyy(?:zz)?", {"yyyy"}),
        ("[a-z]+", set()),
    ],
)
def test_words_that_a_pattern_requires(pattern: str, words: set[str]) -> None:
    assert literals.required(pattern) == words


def test_pages_are_current(request: pytest.FixtureRequest) -> None:
    made = pages.pages(CAUSES, examples())
    if request.config.getoption("--renew-golden"):
        DOCS.mkdir(exist_ok=True)
        for old in DOCS.glob("*.md"):
            old.unlink()
        for name, text in made.items():
            (DOCS / name).write_text(text, encoding="utf-8")
    current = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    assert made == current, "renew them: pytest tests/diagnose/test_causes.py --renew-golden"
