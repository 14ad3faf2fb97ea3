"""README and docs show real output; --renew-golden writes it again."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from provision import arguments, errors, options
from provision.catalog.rows import Catalogue
from provision.fit import device, document, show
from provision.fit._model import Request
from provision.host import from_text
from provision.plan.explain import render
from provision.session.planning import make_plan
from provision.settings import Settings, load
from tests.fit import runs

ROOT = Path(__file__).parents[1]


PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("docs/container/*.md"),
    *(ROOT / name / "README.md" for name in ("checks", "tasks", "logs")),
]
MOST_WORDS = 1200
# Commands of others: what the pages may show beside our own.
FOREIGN = (
    "git clone",
    "source ",
    "git pull && ./setup.sh",
    'eval "$(./setup.sh completion',
    "man -l docs/",
    "vllm serve",
    "envs/current/bin/vllm ",
    "docker ",
    "podman ",
    "python3 -m checks",
)


def between(text: str, mark: str) -> str:
    block = re.search(
        rf"<!-- {re.escape(mark)} -->\n```text\n(.*?)```\n<!-- end -->", text, re.DOTALL
    )
    assert block, f"the page has no place for {mark}"
    return block[1]


def assert_shown(page: str, mark: str, shown: str, request: pytest.FixtureRequest) -> None:
    path = ROOT / page
    text = path.read_text()
    if request.config.getoption("--renew-golden"):
        head = f"<!-- {mark} -->\n```text\n"
        text = text.replace(f"{head}{between(text, mark)}", f"{head}{shown}")
        path.write_text(text)
    assert between(text, mark) == shown


def test_help_is_shown(request: pytest.FixtureRequest) -> None:
    assert_shown("docs/commands.md", "help", options.help_text(), request)


def test_output_is_real(catalogue: Catalogue, request: pytest.FixtureRequest) -> None:
    host = from_text.parse((ROOT / "tests/hosts/h100-550.yaml").read_text(), "h100-550.yaml")
    page = io.StringIO()
    Console(file=page, width=110, color_system=None).print(
        render(make_plan(host, Settings(), catalogue))
    )
    shown = "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())
    assert_shown("README.md", "output: plan of tests/hosts/h100-550.yaml", shown, request)


def test_the_screen_of_fit_is_real(catalogue: Catalogue, request: pytest.FixtureRequest) -> None:
    host = from_text.parse((ROOT / "tests/hosts/h100-550.yaml").read_text(), "h100-550.yaml")
    kind, said = device.of_host(host, catalogue)
    name, wish = "Llama-3.1-8B-Instruct", Request()
    result = document.make(runs.model(name), kind, wish, "0.32.0", catalogue, said=said)
    page = io.StringIO()
    Console(file=page, width=110, color_system=None).print(show.render(result))
    shown = "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())
    mark = f"output: fit of {name} on tests/hosts/h100-550.yaml"
    assert_shown("docs/fit.md", mark, shown, request)


@pytest.mark.parametrize("script", ["fit", "fit_coefficients"])
def test_the_errors_of_fit_are_as_printed(script: str, request: pytest.FixtureRequest) -> None:
    command = [sys.executable, f"benchmarks/{script}.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert_shown("docs/measured/fit.md", f"output: benchmarks/{script}.py", done.stdout, request)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= MOST_WORDS


def commands(page: Path) -> list[str]:
    """Return every command line that a page shows, without its comment."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text().replace("\\\n", ""), re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.split(r"\s+#", line)[0].removeprefix("cd vllm-ready && ") for line in lines]


def test_every_command_shown_is_understood() -> None:
    """Parse each command of ours, with its settings; those of others are known by name."""
    shown = [(page, command) for page in PAGES for command in commands(page)]
    assert len(shown) > 50
    for page, command in shown:
        words = shlex.split(command)
        if words[0] != "./setup.sh":
            assert command.startswith(FOREIGN), f"{page.name}: {command}"
        elif words[1:2] != ["test"] and "--help" not in words:
            mine = words[1 : words.index("|")] if "|" in words else words[1:]
            load(None, page.name, arguments.parse(mine).set)


def test_the_readme_counts_the_checks() -> None:
    count = len([*(ROOT / "checks").glob("[!_]*.py")])
    assert f"{count} checks" in (ROOT / "README.md").read_text()


def test_every_verb_is_shown() -> None:
    shown = {word for page in PAGES for command in commands(page) for word in command.split()[1:2]}
    assert shown - {"test"} >= set(options.VERBS)


def test_every_exit_code_has_a_row() -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs/commands.md").read_text(), re.MULTILINE)
    assert {int(row) for row in rows} == exit_codes()


def exit_codes() -> set[int]:
    codes = {
        errors.DONE,
        errors.CHECK_FAILED,
        errors.UNSUPPORTED,
        errors.UNDECIDED,
        errors.BUG,
        errors.INTERRUPTED,
    }
    return codes | {failure.exit_code for failure in errors.Failure.__subclasses__()}


def test_every_exit_code_is_explained() -> None:
    explained_codes = {
        int(code) for code in re.findall(r"(?:^|\s{2,})(\d+) [a-z]", options.HELP, re.MULTILINE)
    }
    assert explained_codes == exit_codes()


def test_config_yaml_has_every_setting_at_its_default_with_a_reason() -> None:
    text = (ROOT / "config.yaml").read_text()
    assert load(text, "config.yaml") == Settings()
    given = yaml.safe_load(text)
    assert set(given) == set(Settings.__struct_fields__)
    for line in text.splitlines():
        if re.match(r"\s*\w+:", line):
            assert "#" in line, f"no reason: {line}"


def test_every_setting_has_a_row() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    for name in Settings.__struct_fields__:
        assert f"`{name}" in page or f"`{name}`" in page, f"no row: {name}"


def test_the_description_of_a_host_can_be_planned(catalogue: Catalogue) -> None:
    (described,) = re.findall(
        r"```yaml\n(gpus:.*?)```", (ROOT / "docs/planning.md").read_text(), re.DOTALL
    )
    assert "0.19.1" in str(
        make_plan(from_text.parse(described, "planning.md"), Settings(), catalogue)
    )


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
