"""YAML: the accepted values, and errors with line and hint."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from provision import yamltext
from provision.errors import Failure, UnreadableInput, WrongSetting


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    count: int = 1
    size: float | None = None


class Whole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: str = ""
    parts: list[Part] | None = None
    switch: bool | str = True


def refused(text: str) -> UnreadableInput:
    with pytest.raises(UnreadableInput) as caught:
        yamltext.typed(yamltext.parse(text, "x.yaml"), Whole, "x.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("3.10", 3.1),
        ("1e3", 1000.0),
        ('"3.10"', "3.10"),
        ("'true'", "true"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("# only a comment\n", None),
        ("no", "no"),
        ("on", "on"),
        ("580.65.06", "580.65.06"),
        ("0x10", "0x10"),
        (".", "."),
        ("٣", "٣"),
        ("[1, a]", [1, "a"]),
        ("{a: {b: [c]}}", {"a": {"b": ["c"]}}),
        ("- |\n  two\n  lines\n", ["two\nlines\n"]),
        ("&anchor x", "x"),
        ("a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
    ],
)
def test_values(text: str, value: object) -> None:
    assert yamltext.parse(text, "x").data == value


def test_every_value_has_a_line_and_its_text() -> None:
    document = yamltext.parse(
        "version: 3.10\nparts:\n  - name: a\n  - name: b\n    count: 2\n", "x"
    )
    assert document.lines["$.parts[1].count"] == 5
    assert (document.lines["$.version"], document.written["$.version"]) == (1, "3.10")


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("parts: [\n", 2, "is not YAML", "missing bracket"),
        ("version: a\n\tparts: b\n", 2, "is not YAML", "quote"),
        ('version: "\n', 2, "unexpected end", "quote"),
        ("version: a: b\n", 1, "is not YAML", "quote"),
        ("version: a\nversion: b\n", 2, "`version` appears twice", "keep one"),
        ("version: a\n---\nversion: b\n", 3, "a second document", "keep one"),
        ("a: &x 1\nversion: *x\n", 2, "`*x`: aliases", "write the value itself"),
        ("parts:\n- &x {name: a}\n- {<<: *x}\n", 3, "aliases", "write the value itself"),
        ("version: !!str 3.10\n", 1, "tags", 'text as "text"'),
        ('version: !!python/object/apply:os.system ["true"]\n', 1, "tags", "plain values"),
        ("? [a]\n: b\n", 1, "expected a name", "name: value"),
        (
            "version: a\nparts: [\x00]\n",
            2,
            "contains a character that is not text: '\\x00'",
            "right file",
        ),
        ("version: \ud800\n", 1, "'\\ud800'", "right file"),
        ("parts: " + "[" * 100_000, 1, "nested too deeply", "levels"),
        ("".join(f"{' ' * i}a:\n" for i in range(200)), 22, "nested too deeply", "levels"),
        ("[" + "1," * 20_001 + "]", 1, "too many values", "right file"),
    ],
)
def test_a_document_that_is_not_plain_is_refused_at_its_line(
    text: str, line: int, says: str, hint: str
) -> None:
    failure = refused(text)
    assert failure.where == f"x.yaml:{line}"
    assert says in failure.what
    assert hint in failure.hint


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("version: 3.10", 1, "version: YAML reads 3.10 as a number", 'write version: "3.10"'),
        ("\n\nversion: 3", 3, "version: YAML reads 3 as a number", 'write version: "3"'),
        ("version: [3]", 1, "version: a list does not fit here", "write text"),
        ("version: null", 1, "version: `null` does not fit", "write text"),
        ("parts: x", 1, "parts: `x` does not fit", "write a list: [{name: …}]"),
        (
            "parts: {name: x}",
            1,
            "parts: a group of names does not fit",
            "write a list: [{name: …}]",
        ),
        ("parts: [x]", 1, "parts[0]: `x` does not fit", "write {name: …}"),
        (
            "parts:\n- name: x\n  count: two",
            3,
            "parts[0].count: `two` does not fit",
            "write a whole number",
        ),
        (
            "parts: [{name: x, size: 24GB}]",
            1,
            "parts[0].size: `24GB` does not fit",
            "write a number",
        ),
        (
            "parts: [{name: x, count: 1.5}]",
            1,
            "parts[0].count: `1.5` does not fit",
            "write a whole number",
        ),
        ("parts:\n- count: 1", 2, "parts[0]: `name` is missing", "add name: …"),
        (
            "parts:\n- name: x\n  cuont: 1",
            3,
            "parts[0]: there is no `cuont` here",
            "did you mean `count`?",
        ),
        ("vresion: x", 1, "there is no `vresion` here", "did you mean `version`?"),
        ("zzz: x", 1, "there is no `zzz` here", "known: version, parts, switch"),
        ("switch: []", 1, "switch: a list does not fit", "write true, false or text"),
        ("hello", 1, "`hello` does not fit", "write {version: …}"),
        ("- a", 1, "a list does not fit", "write {version: …}"),
    ],
)
def test_a_wrong_value_has_line_and_hint(text: str, line: int, says: str, hint: str) -> None:
    failure = refused(text)
    assert failure.where == f"x.yaml:{line}"
    assert says in failure.what
    assert hint in failure.hint
    assert "Expected" not in str(failure)


def test_the_caller_chooses_the_failure() -> None:
    with pytest.raises(WrongSetting):
        yamltext.typed(yamltext.parse("a: b", "x"), Whole, "x", WrongSetting)


def test_a_billion_laughs_end_at_once() -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20))
    began = time.monotonic()
    assert "aliases" in refused(laughs).what
    assert time.monotonic() - began < 1


def test_the_parser_written_in_python_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'version: "3.10"\nparts: [{name: a, count: 2}]\nswitch: no\n'
    fast = yamltext.parse(text, "x")
    monkeypatch.setattr(yamltext, "_LOADER", yaml.SafeLoader)
    assert yamltext.parse(text, "x") == fast
    assert "nested too deeply" in refused("[" * 3000).what


def complaint(read: Callable[[], object]) -> Failure | None:
    """Return the failure of the reader, if any; any other exception is a bug."""
    try:
        read()
    except Failure as failure:
        return failure
    return None


PIECES = st.sampled_from(
    ["&a", "*a", "!!str", "!!python/name:os", "<<: *a", "---", "...", "%YAML 1.1", "? ", ": ", "- ", "[", "]", "{", "}",
     "\n", "\n  ", "\t", "|", ">", "'", '"', "#", ",", "version", "parts", "name", "3.10", "9" * 5000, "1e999", ".nan",
     "\ud800", "\x00", "\ufeff", "\u2028", "٣", "=", "`", "@"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=25).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    failure = complaint(lambda: yamltext.typed(yamltext.parse(text, "x.yaml"), Whole, "x.yaml"))
    assert failure is None or (
        failure.where.startswith("x.yaml") and failure.what.strip() and failure.hint.strip()
    )
