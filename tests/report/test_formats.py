"""Report formats: the verdict first, every text escaped, plain text on one screen."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provision import cli
from provision import report as reports
from provision.errors import UnreadableInput, WrongUsage
from provision.report import as_text, charts, figures
from provision.report._model import Report
from provision.report.format_table import FORMATS, Format
from provision.report.short import cut, first_line, number, seconds
from provision.results import CheckResult, Figure
from provision.session import formats
from tests.report.big_report import big_report
from tests.report.test_texts import report

CANARY = "<script>canary()</script>\"'|`{{7*7}}\n\\]]>"
SAMPLE = re.compile(
    r'[a-z_]+(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\[\\"n]|[^"\\\n])*")(,[a-zA-Z_][a-zA-Z0-9_]*="(\\[\\"n]|[^"\\\n])*")*\})? (NaN|[+-]Inf|[-+.e\d]+)'
)


def with_texts(value: Any, text: str, kept: frozenset[str] = frozenset()) -> Any:
    """Return the document with this text in place of every text that may be any."""
    if isinstance(value, dict):
        return {
            key: member if key in kept else with_texts(member, text, kept)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [with_texts(member, text, kept) for member in value]
    return text if isinstance(value, str) else value


CLOSED = frozenset(
    "schema verdict outcome weight better profile mode origin published code chosen_code started".split()  # noqa: SIM905 - reads better
)


def poisoned() -> Report:
    document = with_texts(
        msgspec.json.decode(msgspec.json.encode(big_report(checks=12))), CANARY, CLOSED
    )
    document["commands"] = {CANARY: [CANARY]}
    document["host"] = {
        CANARY: CANARY,
        "platform": CANARY,
        "facts": {"driver": CANARY, "gpus": [{"id": CANARY}]},
    }
    document["figures"] += [
        {
            "check": CANARY,
            "name": "attention",
            "of": {"on": CANARY, "way": CANARY, "tokens": "512"},
            "value": 1.5,
        },
        {"check": CANARY, "name": CANARY, "of": {CANARY: CANARY}, "value": CANARY},
    ]
    return msgspec.convert(document, Report)


class Tags(HTMLParser):
    """A parser that lists every element of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.tags


# --- the table --------------------------------------------------------------------------------


def test_every_format_has_one_file_and_one_row() -> None:
    """A format in only one of the two places would be missing without an error."""
    folder = Path(reports.__file__).parent
    modules = {path.stem.removeprefix("as_") for path in folder.glob("as_*.py")}
    assert modules - {"task_result"} == {*FORMATS}, "the pages of tasks are not a report format"
    names = {path.name for path in (folder / "templates").iterdir()}
    assert {template for row in FORMATS.values() for template in row.templates} == names
    files = [row.file for row in FORMATS.values() if row.file]
    assert len(files) == len({*files, "report.json"}) - 1


def test_an_unknown_format_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WrongUsage, match="unknown report format `yaml`") as refused:
        formats.render(report(), "yaml")
    assert all(name in refused.value.hint for name in FORMATS)
    assert cli._guarded(["report", "--format", "yaml"]) == 2
    assert "yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "row", "error"),
    [
        ("yaml", Format(), ModuleNotFoundError),
        ("html", Format(templates=("none.html",)), UnreadableInput),
    ],
    ids=["no file", "no template"],
)
def test_a_half_registered_format_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str, row: Format, error: type[Exception]
) -> None:
    monkeypatch.setitem(FORMATS, name, row)
    with pytest.raises(error):
        formats.render(report(), name)


# --- all formats ------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
def test_an_unsupported_verdict_is_named_first(format_: str) -> None:
    lie = msgspec.structs.replace(big_report(), verdict="verified", exit_code=0)
    text = formats.render(lie, format_).replace("\\", "")
    assert "says verified, but its contents do not support that: speed_copy failed" in text
    body = text[text.index("<body>") :] if format_ == "html" else text
    verdict = {
        "html": "<h1",
        "json": '"verdict"',
        "junit": "<testcase",
        "prometheus": "# HELP",
    }.get(format_, "exit code")
    assert body.index("not support that") < body.index(verdict)
    if format_ == "prometheus":
        assert text.startswith("# This report says verified, but its contents")
        assert "\nvllm_ready_verified 0\n" in text


@pytest.mark.parametrize("format_", FORMATS)
def test_a_supported_verdict_is_not_doubted(format_: str) -> None:
    fine = big_report({})
    assert fine.conclusion.verdict == "verified"
    assert "not support" not in formats.render(fine, format_)


@pytest.mark.parametrize("format_", ["text", "markdown", "html", "junit"])
def test_a_failure_hides_no_check_that_was_not_tried(format_: str) -> None:
    source = big_report(
        {0: "fail", 7: "skip"}, promised=("speed_attention", "claim_007", "never_tried")
    )
    text = formats.render(source, format_).replace("\\", "")
    for problem in ("speed_attention failed", "claim_007 was skipped", "never_tried was not tried"):
        assert problem in text


@pytest.mark.parametrize("format_", FORMATS)
def test_a_minimal_report_has_every_format(format_: str) -> None:
    bare = Report(
        run="r",
        started="",
        verdict="not provisioned",
        exit_code=4,
        host={},
        plan=None,
        generation="",
        steps=(),
        checks=(),
    )
    assert formats.render(bare, format_).endswith("\n")
    assert formats.render(poisoned(), format_)


@settings(max_examples=10, deadline=None)
@example(words="", value=-1.0, host=None)
@example(words="", value=0.0, host={})
@example(words="²", value="", host=1e308)
@example(words="", value=5e-324, host=None)
@example(words="", value=6e161, host=None)
@example(words="", value=1.73e308, host=None)
@example(words="\x00", value=1.7e308, host=float("nan"))
@given(
    words=st.text(max_size=30),
    value=st.one_of(st.floats(), st.text(max_size=10)),
    host=st.recursive(
        st.text(max_size=5) | st.floats() | st.none(),
        lambda inner: st.dictionaries(st.text(max_size=5), inner),
    ),
)
def test_random_reports_have_every_format(words: str, value: float | str, host: Any) -> None:
    of = [{"on": words, "way": words, "tokens": "64"}, {"from": words, "to": words}, {words: words}]
    odd = msgspec.structs.replace(
        report(),
        run=words,
        host={
            "platform": host,
            "facts": {
                "gpus": [host, {"id": words, "memory_gb": host}],
                "driver": host,
                "memory": host,
            },
        },
        checks=(CheckResult(name=words, outcome="fail", summary=words, evidence={words: words}),),
        figures=tuple(
            Figure(check=words, name="attention", of=subject, value=value, samples=(1.0,))
            for subject in of
        ),
    )
    for format_ in FORMATS:
        assert formats.render(odd, format_)
    ET.fromstring(formats.render(odd, "junit"))


# --- text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcomes", [None, {}, dict.fromkeys(range(200), "fail"), dict.fromkeys(range(200), "error")]
)
def test_text_fits_on_one_screen(outcomes: dict[int, Any] | None) -> None:
    long = big_report(outcomes)
    checks = tuple(
        msgspec.structs.replace(check, summary="long " * 99 + "\nand more") for check in long.checks
    )
    for source in (
        long,
        msgspec.structs.replace(long, checks=checks, owed=tuple(f"claim_{at}" for at in range(99))),
    ):
        lines = formats.render(source, "text").splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines)) <= 100
        assert lines[0].startswith(source.verdict.upper())
        assert "and more" not in "\n".join(lines)


def test_text_lists_problems_and_counts_the_rest() -> None:
    text = formats.render(big_report(), "text")
    assert "claim_050                 FAIL" in text
    assert "claim_077                 ERROR" in text
    assert "claim_012                 WARN" in text
    assert "claim_100" not in text
    assert "other checks: 192 pass, 3 skip" in text
    assert "problems     speed_copy failed" in text


def test_control_characters_never_reach_a_terminal() -> None:
    odd = "\x1b]0;x\x07\u202e\u2066\x9b"
    source = big_report(
        checks=12, run=f"r{odd}", started=odd, generation=odd, tool=odd, owed=(odd,)
    )
    plan = source.plan
    assert plan
    source = msgspec.structs.replace(
        source, plan=msgspec.structs.replace(plan, python=odd, cuda=odd)
    )
    steering = {*odd} - {*"]0;x"}
    for text in (
        formats.render(source, "text"),
        as_text.text(source, odd),
        as_text.brief(source),
        formats.render(source, "markdown"),
    ):
        assert not {*text} & steering


def test_words_and_numbers_are_short() -> None:
    assert first_line("\n \x1b[2Jone\r\ntwo") == "[2Jone"
    assert cut("abcdefgh", 6) == "abc..."
    assert [number(value) for value in (0, 1, 51.0, 0.012345, 1234.5, 98765.4, 1e-9)] == [
        "0", "1", "51", "0.01235", "1,234", "98,765", "1e-09",
    ]  # fmt: skip
    assert [seconds(value) for value in (0.04, 59.9, 61.4, 9000)] == [
        "0.0 s",
        "59.9 s",
        "1 min 1 s",
        "2 h 30 min",
    ]


# --- JUnit ------------------------------------------------------------------------------------


def test_junit_has_every_check_and_step_with_its_outcome() -> None:
    root = ET.fromstring(formats.render(big_report(), "junit"))
    assert root.tag == "testsuites"
    suites = {suite.get("name"): suite for suite in root}
    assert [*suites] == ["vllm-ready.verdict", "vllm-ready.steps", "vllm-ready.checks"]
    for suite in suites.values():
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for kind, attribute in (
            ("failure", "failures"),
            ("error", "errors"),
            ("skipped", "skipped"),
        ):
            assert int(suite.get(attribute, "")) == len(suite.findall(f"testcase/{kind}"))
        for case in cases:
            assert {"name", "classname", "time"} <= {*case.keys()}
            assert (
                len([child for child in case if child.tag in ("failure", "error", "skipped")]) <= 1
            )
    checks = {case.get("name"): case for case in suites["vllm-ready.checks"].findall("testcase")}
    assert len(checks) == 200
    assert len(suites["vllm-ready.steps"].findall("testcase")) == 9
    failure, skipped = checks["claim_050"].find("failure"), checks["claim_060"].find("skipped")
    assert failure is not None
    assert '"dtype": "bfloat16"' in (failure.text or "")
    assert skipped is not None
    assert skipped.get("message") == "needs compute capability 10.0"
    assert "14 % slower" in (checks["claim_012"].findtext("system-out") or "")
    assert suites["vllm-ready.verdict"].find("testcase/failure") is not None


@pytest.mark.parametrize("format_", sorted(FORMATS))
def test_a_regression_is_named_in_every_format(format_: str) -> None:
    passed = CheckResult(name="glance", outcome="pass")
    good = msgspec.structs.replace(
        report(),
        verdict="verified",
        exit_code=0,
        steps=(),
        checks=(passed,),
        promised=("glance",),
        gpus=(),
    )
    assert not good.problems
    regressed = msgspec.structs.replace(good, exit_code=1, regressions=("rate: slower by 12 %",))
    text = formats.render(regressed, format_)
    assert "slower by 12" in text if format_ != "prometheus" else "vllm_ready_exit_code 1\n" in text
    if format_ == "junit":
        assert "verified, but not made current" in text


def test_junit_is_xml_for_any_character() -> None:
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000), 0x1F600]))
    odd = CheckResult(
        name="a\x00b", outcome="error", summary=every, evidence={every: every}, hint="]]>"
    )
    source = msgspec.structs.replace(report(), checks=(odd,), run="\x1b")
    root = ET.fromstring(formats.render(source, "junit").encode())
    assert root.find(".//testcase[@name='a\ufffdb']/error") is not None


# --- Prometheus -------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [big_report(), poisoned()], ids=["big", "poisoned"])
def test_prometheus_is_well_formed_without_duplicates(source: Report) -> None:
    lines = formats.render(source, "prometheus").splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if not SAMPLE.fullmatch(line)] == []
    series = [line.rpartition(" ")[0] for line in samples]
    assert len(series) == len(set(series)), "a collector throws the whole file away"
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))
    assert {name.partition("{")[0] for name in series} == set(typed)


def test_prometheus_has_verdict_outcomes_and_figures() -> None:
    text = formats.render(big_report(), "prometheus")
    assert "\nvllm_ready_verified 0\n" in text
    assert "\nvllm_ready_exit_code 1\n" in text
    assert "\nvllm_ready_run_timestamp_seconds 1795144452\n" in text
    assert 'vllm_ready_check{check="claim_050",weight="must",outcome="fail"} 1\n' in text
    assert 'vllm_ready_check{check="claim_050",weight="must",outcome="pass"} 0\n' in text
    peer = 'check="odd_pair_out",name="peer copy",unit="GB/s",better="higher",of_from="GPU 2",of_to="GPU 5",of_link="NV18"'
    assert f"vllm_ready_figure{{{peer}}} 201\n" in text
    assert 'of_pass="forward",value="OutOfMemoryError"} 1\n' in text
    assert "\nvllm_ready_verified 1\n" in formats.render(big_report({}), "prometheus")


# --- Markdown ---------------------------------------------------------------------------------


def test_markdown_escapes_every_text() -> None:
    page = formats.render(poisoned(), "markdown")
    outside, inside = [], False
    for line in page.splitlines():
        if re.match("`{3,}", line):
            inside = not inside
        elif not inside:
            outside.append(line)
    assert not inside, "every fence is closed"
    assert not [line for line in outside if re.search(r"(?<!\\)<script", line)]
    width = 0
    for line in outside:
        pipes = re.sub(r"\\.", "", line).count("|") if line.startswith("|") else 0
        assert pipes == width or not pipes or not width, line
        width = pipes


# --- HTML -------------------------------------------------------------------------------------


def test_no_text_becomes_an_element_of_the_page() -> None:
    clean, page = formats.render(big_report(checks=12), "html"), formats.render(poisoned(), "html")
    assert "canary()" in page
    assert len([tag for tag, _ in tags(page) if tag == "script"]) == 1
    assert len([tag for tag, _ in tags(clean) if tag == "script"]) == 1
    assert "<script>canary" not in page
    assert "{{7*7}}" in page.replace("&#123;", "{"), "template syntax in a report stays text"
    assert not [
        name for _, attributes in tags(page) for name in attributes if name.startswith("on")
    ]


def test_the_page_has_landmarks_and_no_address() -> None:
    page = formats.render(big_report(), "html")
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    elements = tags(page)
    names = [tag for tag, _ in elements]
    assert names.count("h1") == 1
    assert {"header", "nav", "main", "footer"} <= {*names}
    assert all(
        attributes.get("scope") in ("col", "row") for tag, attributes in elements if tag == "th"
    )
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        target = attributes.get("href") or ""
        assert not target.startswith("#") or target[1:] in ids


@pytest.mark.parametrize(
    "tokens", ["0", "-1", "²", "9" * 5000], ids=["0", "-1", "²", "many digits"]
)
def test_only_token_counts_are_on_a_chart(tokens: str) -> None:
    odd = Figure(
        check="a", name="attention", of={"on": "GPU 0", "way": "SDPA", "tokens": tokens}, value=1.0
    )
    assert figures.attention([odd]) is None
    assert len(figures.tables([odd])) == 1


@pytest.mark.parametrize("values", [(3.0,), (2.0, 6.0), (0.5, 20.0), (1e-9, 1e9)], ids=str)
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_chart_has_labels_for_any_range(
    values: tuple[float, ...], scale: Literal["linear", "log"]
) -> None:
    x, y = charts.axis([64.0], "tokens", "log"), charts.axis(values, "ms", scale)
    points = tuple(charts.Point(x=64.0, y=value, low=value, high=value) for value in values)
    drawing = charts.draw("times", {"SDPA": points}, x, y)
    assert drawing
    labels = [label for _, label in (*drawing.x_ticks, *drawing.y_ticks)]
    assert len(labels) >= 2
    assert all(labels)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_drawing_stays_inside_its_plot_area(scale: Literal["linear", "log"]) -> None:
    """A spread may reach below zero or beyond what a scale can show."""
    values = [(0.0, -1.0, 2.0), (3.0, 1.0, 9.0), (1e299, 5.0, math.inf), (math.nan, 1.0, 2.0)]
    points = tuple(
        charts.Point(x=2.0**at, y=value, low=low, high=high)
        for at, (value, low, high) in enumerate(values)
    )
    x = charts.axis([point.x for point in points], "tokens", "log")
    y = charts.axis([number for value in values for number in value], "ms", scale)
    lines = {f"way {kind}": points if kind == 9 else () for kind in range(10)}
    drawing = charts.draw("times", lines, x, y)
    assert drawing
    ((kind, dots),) = drawing.lines
    assert kind == 9
    assert len(dots) == (3 if scale == "linear" else 2)
    for dot in dots:
        assert drawing.left <= dot.x <= charts.RIGHT
        for place in (dot.y, *(dot.bar or ())):
            assert charts.TOP <= place <= charts.BOTTOM


def test_a_chart_without_a_point_is_not_drawn() -> None:
    x, y = charts.axis([], "tokens", "log"), charts.axis([], "ms", "linear")
    assert charts.draw("times", {"SDPA": ()}, x, y) is None


def test_a_chart_shows_the_spread_of_its_samples() -> None:
    of = {"on": "GPU 0", "way": "SDPA", "tokens": "512"}
    samples = (80.0, 95.0, 100.0, 105.0, 120.0)
    noisy = Figure(
        check="a", name="attention", of=of, value=100.0, unit="x", samples=samples, repeats=5
    )
    attention = figures.attention([noisy])
    assert attention
    drawing = attention.devices["GPU 0"][0].drawing
    assert drawing
    ((_, (dot,)),) = drawing.lines
    assert dot.bar
    assert dot.bar[0] > dot.y > dot.bar[1]
    assert dot.text == "SDPA, 512 tokens: 100 x, spread 28.0%"
    assert drawing.description == "SDPA: 100 x at 512"


def test_a_chart_names_the_points_without_a_number() -> None:
    page = formats.render(big_report(), "html")
    assert page.count('class="chart"') == (8 + 1) * 2 * 3
    assert "no value for SDPA math at 32k, 64k: OutOfMemoryError" in page
    assert "SDPA flash, 4,096 tokens: 453.8 TFLOP/s" in page
    assert "▼ 201" in page
