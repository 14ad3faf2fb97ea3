"""The HTML page in a browser: no network, charts, filter, copying, colours, paper, phones."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from provision.results import Figure
from provision.session import formats
from tests.report.big_report import big_report

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright has no build for this system"
)
BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.environment,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH: apt-get install chromium"),
]

CONTRAST = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
      known.set(colour, [...pen.getImageData(0, 0, 1, 1).data]);
    }
    return known.get(colour);
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map((c) => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const weak = {};
  for (const node of document.querySelectorAll("body *")) {
    if (!node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const drawn = node.matches(".series .line");
    const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!text && !drawn || node.closest("script, style, .skip, title")) continue;
    const colour = node.ownerSVGElement ? (drawn ? style.stroke : style.fill) : style.color;
    const contrast = ratio(rgba(colour), behind(node));
    if (contrast < (drawn ? 3 : 4.5)) {
      const name = node.tagName + "." + (node.getAttribute("class") || "");
      weak[name] = [contrast.toFixed(2), colour];
    }
  }
  return weak;
}"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(formats.render(big_report(), "html"))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield running
        running.close()


class Opened:
    """A page opened from its file, with the browser's messages and requests."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(
            **{"viewport": {"width": 1200, "height": 900}, **options}
        )
        self.context.route("**/*", self._routed)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.goto(path.as_uri())

    def _routed(self, route: Any) -> None:
        self.requests.append(route.request.url)
        route.continue_() if route.request.url.startswith("file:") else route.abort()


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Opened]:
    page = Opened(browser, page_file)
    yield page
    page.context.close()


def shown(page: Any) -> list[str]:
    return [str(name) for name in page.locator(".checks tbody tr:visible th").all_inner_texts()]


def test_the_page_makes_no_request_and_logs_nothing(opened: Opened, page_file: Path) -> None:
    opened.page.wait_for_timeout(200)
    assert opened.requests == [page_file.as_uri()]
    assert opened.messages == []
    assert opened.page.locator("h1").inner_text().startswith("Not verified")


def test_charts_are_drawn_inside_their_boxes(opened: Opened) -> None:
    charts = opened.page.locator("svg.chart")
    assert charts.count() == 54, "six of each GPU, and six of all together"
    outside = charts.evaluate_all(
        """(charts) => charts.flatMap((chart) => {
          const box = chart.viewBox.baseVal;
          return [...chart.querySelectorAll(".series path")].filter((path) => {
            const at = path.getBBox(), move = chart.getCTM().inverse().multiply(path.getCTM());
            const x = at.x + move.e, y = at.y + move.f;
            const isOutside = x < 0 || y < 0 || x + at.width > box.width || y + at.height > box.height;
            return path.getTotalLength() === 0 || isOutside;
          }).map((path) => path.getAttribute("d"));
        })"""
    )
    assert outside == []
    drawn = opened.page.locator("svg.chart").first.locator(".series .line")
    assert drawn.count() == 8 * 5, "the lines of all GPUs lie over one another"
    looks = drawn.evaluate_all(
        "(all) => all.map((line) => [getComputedStyle(line).stroke, getComputedStyle(line).strokeDasharray])"
    )
    assert len({tuple(look) for look in looks}) == 5, "one look for each way, on every GPU"
    assert len({dash for _, dash in looks}) == 5, "lines differ without colour too"


def test_the_filter_by_mouse(opened: Opened) -> None:
    page = opened.page
    button = page.get_by_role("button", name=re.compile("^fail"))
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert shown(page) == ["speed_copy", "claim_050"]
    assert page.locator("#count").inner_text() == "2 of 200 checks shown"
    page.get_by_role("button", name=re.compile("^error")).click()
    assert shown(page) == ["speed_copy", "claim_050", "claim_077"]
    page.locator("#words").fill("SEGV")
    assert shown(page) == ["claim_077"]
    page.get_by_role("button", name="Show all").click()
    playwright.expect(page.locator("#count")).to_have_text("200 of 200 checks shown")
    assert button.get_attribute("aria-pressed") == "false"


def test_the_filter_by_keyboard(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "fail":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Space")
    assert shown(page) == ["speed_copy", "claim_050"]
    for _ in range(5):
        page.keyboard.press("Tab")
    page.keyboard.type("claim_05")
    assert shown(page) == ["claim_050"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("doubt", [False, True])
def test_contrast_suffices_in_both_schemes(
    browser: Any, tmp_path: Path, scheme: str, doubt: bool
) -> None:
    path = tmp_path / "r.html"
    changes: dict[str, Any] = {"verdict": "verified"} if doubt else {}
    path.write_text(formats.render(big_report(**changes), "html"))
    opened = Opened(browser, path, color_scheme=scheme)
    opened.page.get_by_role("button", name=re.compile("^warn")).click()
    opened.page.evaluate(
        "document.querySelectorAll('details').forEach((details) => { details.open = true; })"
    )
    assert opened.page.evaluate(CONTRAST) == {}
    dark = (
        opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 20, 19)"
    )
    assert dark == (scheme == "dark")
    opened.context.close()


@pytest.mark.parametrize("width", [320, 360, 768])
def test_a_phone_never_scrolls_sideways(browser: Any, page_file: Path, width: int) -> None:
    opened = Opened(browser, page_file, viewport={"width": width, "height": 700})
    opened.page.evaluate(
        "document.querySelectorAll('details').forEach((details) => { details.open = true; })"
    )
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.context.close()


def test_row_headings_stay_in_sight(browser: Any, tmp_path: Path) -> None:
    """A phone shows them however far a table is scrolled and however long a name is."""
    path, long = tmp_path / "r.html", "GPU 0 of a host with a very long name of a slice"
    big = big_report()
    figures = tuple(
        msgspec.structs.replace(
            figure, of={key: word.replace("GPU 0", long) for key, word in figure.of.items()}
        )
        for figure in big.figures
    )
    path.write_text(formats.render(msgspec.structs.replace(big, figures=figures), "html"))
    opened = Opened(browser, path, viewport={"width": 400, "height": 700})
    opened.page.evaluate(
        "document.querySelectorAll('details').forEach((details) => { details.open = true; })"
    )
    hidden = opened.page.locator(".scrolls").evaluate_all(
        """(all) => all.flatMap((box) => {
          box.scrollLeft = 10000;
          const place = box.getBoundingClientRect();
          return [...box.querySelectorAll("th[scope=row]")]
            .map((head) => [head.textContent, head.getBoundingClientRect()])
            .filter(([, at]) => at.left < place.left - 1 || at.right > place.left + 0.6 * place.width)
            .map(([text, at]) => `${text}: ${at.left} to ${at.right}`);
        })"""
    )
    assert hidden == []
    opened.context.close()


def test_paper_has_margins_and_nothing_that_is_folded(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    assert opened.page.locator("details:not([open]) > summary").evaluate_all(
        "(all) => all.every((node) => !node.checkVisibility())"
    )
    assert opened.page.locator("#filter, nav, button.copy").evaluate_all(
        "(all) => all.every((node) => !node.checkVisibility())"
    )
    assert opened.page.locator("details.device[open]").count() == 1
    assert "@page { margin: 16mm 14mm; }" in opened.page.content()
    assert opened.page.pdf(format="A4").startswith(b"%PDF")


def test_what_a_reader_needs_first_comes_first(opened: Opened) -> None:
    """Verdict, next step with the log of the failure, problems with links, figures, passed checks."""
    headings = opened.page.locator("h2").all_inner_texts()
    assert headings[:5] == ["Next", "Problems", "Checks", "Figures", "Passed checks"]
    following = opened.page.locator(".next")
    assert following.locator("p").first.inner_text().startswith("speed_copy: ")
    assert following.locator("pre").last.inner_text() == "./setup.sh"
    link = opened.page.locator(".problems a").first
    assert link.get_attribute("href") == "#check-speed_copy"
    assert opened.page.locator("#check-speed_copy").is_visible()


def test_passed_checks_are_folded_until_they_are_looked_for(opened: Opened) -> None:
    passed = opened.page.locator("#check-claim_100")
    assert not passed.is_visible()
    opened.page.evaluate("location.hash = '#check-claim_100'")
    passed.wait_for(state="visible")
    assert opened.page.locator("#passed-list > summary").inner_text() == "192 passed"


def test_a_verified_report_begins_with_the_command_that_serves(
    browser: Any, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    report = big_report({}, settings={"prefix": "/data/my envs"})
    path.write_text(formats.render(report, "html"))
    opened = Opened(browser, path)
    assert opened.page.locator(".next h2").inner_text() == "Serve a model"
    command = opened.page.locator(".next pre").inner_text()
    assert command.startswith("'/data/my envs/current/bin/vllm' serve MODEL")
    assert "--tensor-parallel-size 8" in command
    opened.context.close()


def test_a_slow_gpu_and_a_slow_pair_are_seen(browser: Any, tmp_path: Path) -> None:
    """One dot for each GPU, the outlier labelled; a matrix whose cells are shaded."""
    path = tmp_path / "report.html"
    figures = tuple(
        Figure(
            check="speed_matmul",
            name="matmul",
            of={"on": f"GPU {gpu}", "type": "bfloat16"},
            value=590.0 if gpu == 3 else 700.0 + gpu,
            unit="TFLOP/s",
            better="higher",
        )
        for gpu in range(8)
    )
    path.write_text(formats.render(big_report(figures=figures + big_report().figures), "html"))
    opened = Opened(browser, path)
    line = opened.page.locator(".dots").filter(has_text="bfloat16").first
    assert line.locator("i").count() == 8
    assert line.locator("i.out").count() == 1
    assert line.locator("i.out b").inner_text() == "GPU 3 590"
    cells = opened.page.locator(".matrix td:not(.none)")
    colours = set(
        cells.evaluate_all("(all) => all.map((c) => getComputedStyle(c).backgroundColor)")
    )
    assert len(colours) > 1
    opened.context.close()


def test_a_phone_needs_few_screens(browser: Any, page_file: Path) -> None:
    opened = Opened(browser, page_file, viewport={"width": 360, "height": 740})
    height = opened.page.evaluate("document.documentElement.scrollHeight")
    assert height < 6000
    opened.context.close()


@pytest.mark.parametrize("width", [1200, 700])
def test_paper_shows_checks_that_the_filter_hides(
    browser: Any, page_file: Path, width: int
) -> None:
    opened = Opened(browser, page_file, viewport={"width": width, "height": 900})
    opened.page.get_by_role("button", name=re.compile("^pass")).click()
    assert "claim_050" not in shown(opened.page)
    row = opened.page.locator(".checks tr[data-outcome=pass]").first
    opened.page.emulate_media(media="print")
    assert len(shown(opened.page)) == 200
    displays = {
        str(checked.evaluate("(row) => getComputedStyle(row).display"))
        for checked in (row, opened.page.locator(".checks tr[hidden]").first)
    }
    assert displays == {"table-row" if width == 1200 else "grid"}
    opened.page.emulate_media(media="screen")
    assert "claim_050" not in shown(opened.page)
    opened.context.close()


@pytest.mark.parametrize("clipboard", ["granted", "refused", "none at all"])
def test_copying_works_from_a_file(browser: Any, page_file: Path, clipboard: str) -> None:
    opened = Opened(
        browser,
        page_file,
        permissions=["clipboard-read", "clipboard-write"] if clipboard == "granted" else [],
    )
    page = opened.page
    if clipboard != "granted":
        page.evaluate(
            "Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.reject()}})"
        )
    if clipboard == "none at all":
        page.evaluate("document.execCommand = () => false")
    button = page.locator("#commands .copy").first
    button.click()
    playwright.expect(button).to_have_text("Selected" if clipboard == "none at all" else "Copied")
    command = "uv pip install --no-deps torch==2.13.0"
    if clipboard == "granted":
        assert page.evaluate("navigator.clipboard.readText()") == command
    else:
        assert page.evaluate("getSelection().toString()").strip() == command
    assert opened.messages == []
    opened.context.close()
