"""What the README shows is what the program does; run with --renew-golden to write it anew."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from provision import arguments, errors
from provision.catalog.rows import Catalogue
from provision.host import from_text
from provision.plan.explain import explained
from provision.session.planning import make_plan
from provision.settings import Settings, load

ROOT = Path(__file__).parents[1]


def between(text: str, mark: str) -> str:
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```text\n(.*?)```\n<!-- end -->", text, re.DOTALL)
    assert found, f"the README has no place for {mark}"
    return found[1]


def check(mark: str, shown: str, request: pytest.FixtureRequest) -> None:
    path = ROOT / "README.md"
    readme = path.read_text()
    if request.config.getoption("--renew-golden"):
        readme = readme.replace(
            f"<!-- {mark} -->\n```text\n{between(readme, mark)}", f"<!-- {mark} -->\n```text\n{shown}"
        )
        path.write_text(readme)
    assert between(readme, mark) == shown


def test_help_is_shown(request: pytest.FixtureRequest) -> None:
    check("help", arguments.help_text(), request)


def test_output_is_real(catalogue: Catalogue, request: pytest.FixtureRequest) -> None:
    host = from_text.parse((ROOT / "tests/hosts/h100-550.yaml").read_text(), "h100-550.yaml")
    page = io.StringIO()
    Console(file=page, width=110, color_system=None).print(explained(make_plan(host, Settings(), catalogue)))
    shown = "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())
    check("output: plan of tests/hosts/h100-550.yaml", shown, request)


def test_every_exit_code_is_explained() -> None:
    codes = {errors.DONE, errors.CHECK_FAILED, errors.UNSUPPORTED, errors.UNDECIDED, errors.BUG, errors.INTERRUPTED}
    codes |= {failure.exit_code for failure in errors.Failure.__subclasses__()}
    explained_codes = {int(code) for code in re.findall(r"(?:^|\s{2,})(\d+) [a-z]", arguments.EXIT_CODES, re.MULTILINE)}
    assert explained_codes == codes


def test_config_yaml_has_every_setting_at_its_default_with_a_reason() -> None:
    text = (ROOT / "config.yaml").read_text()
    assert load(text, "config.yaml") == Settings()
    given = yaml.safe_load(text)
    assert set(given) == set(Settings.__struct_fields__)
    for line in text.splitlines():
        if re.match(r"\s*\w+:", line):
            assert "#" in line, f"no reason: {line}"


def test_the_description_in_the_readme_can_be_planned(catalogue: Catalogue) -> None:
    (described,) = re.findall(r"```yaml\n(gpus:.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "0.19.1" in str(make_plan(from_text.parse(described, "README.md"), Settings(), catalogue))


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/container/*.md"),
        *(ROOT / name / "README.md" for name in ("checks", "tasks", "logs")),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
