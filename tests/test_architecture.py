"""The rules of the code: floors, purity, the only ways out, sizes, and first lines of files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import msgspec
import pytest

from provision.options import VERBS
from tests.report.test_texts import report

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "provision").rglob("*.py"))

# From the ground up. A room may import itself and lower rooms, never a higher one or a neighbour.
FLOORS: list[set[str]] = [
    {"errors", "version", "results"},
    {"events", "logtext", "yamltext"},
    {"settings"},
    {"package_sources"},
    {"doors"},
    {"display"},
    {"host", "binary"},
    {"catalog"},
    {"plan"},
    {"steps"},
    {"tasks"},
    {"flash_attn"},
    {"fit"},
    {"diagnose"},
    {"engine"},
    {"report"},
    {"crash", "options"},
    {"arguments"},
    {"completion"},
    {"manual"},
    {"session"},
    {"verbs"},
    {"cli"},
]
IMPURE = {
    "os",
    "pathlib.Path",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "requests",
}
IO_CALLS = {"open", "print", "exec", "eval", "input"}
ONLY_AT_THE_DOOR = {
    "subprocess": {
        "doors/process.py",
        "flash_attn/compile_flash_attn.py",
        "diagnose/triage/children.py",  # stands alone on a broken host
    },
    "requests": {"doors/network.py", "doors/sessions.py", "doors/remote_file.py"},
    "pypi_simple": {
        "doors/network.py",
        "doors/addresses.py",
        "catalog/published.py",
        "catalog/freshness.py",
    },
    "pynvml": {"doors/nvml_child.py"},
}
# Outside its room the optional package is named in these rooms and files only.
NAMES_FLASH_ATTN = {
    "catalog": "its wheels and releases are rows",
    "plan": "a plan and its printout have fields for it",
    "report": "a report shows its plan",
    "diagnose": "many failures are of its wheels",
    "fit": "it names vLLM's attention backends",
    "host/facts_read.py": "a text may tell its version",
    "host/what_was_read.py": "it shows the line of that version",
    "settings.py": "it has settings",
    "options.py": "the help of `wheels`",
    "verbs/wheels.py": "the verb is about its wheels",
    "host/_filesystem.py": "the packages that a recording lists",
    "session/planning.py": "hands its chooser to the planner",
    "session/optional.py": "hands its candidates to the engine",
    "engine/bundle.py": "a bundle's manifest has the notes of its wheels",
}
ANSWER_ON_STDOUT = {"doors/nvml_child.py", "host/_reader.py"}  # children
MOST_STATEMENTS = 200
MOST_LINES_OF_A_FUNCTION = 60


def name(path: Path) -> str:
    return path.relative_to(ROOT / "provision").as_posix()


def room(path: Path) -> str:
    return room_of(".".join(path.relative_to(ROOT / "provision").with_suffix("").parts))


def room_of(module: str) -> str:
    """Return the folder of a module, or the module itself where it has a floor of its own."""
    folder, _, rest = module.partition(".")
    two = f"{folder}.{rest.partition('.')[0]}"
    return two if any(two in rooms for rooms in FLOORS) else folder


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, wherever in it."""
    result: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            result |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(result)


def tops(path: Path) -> set[str]:
    """The first part of every module that a file imports."""
    return {module.partition(".")[0] for module in imports(path)}


def calls(path: Path) -> set[str]:
    """The bare names that a file calls."""
    nodes = ast.walk(tree(path))
    return {
        node.func.id
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def floor(of: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if of in rooms)


def test_first_line_says_what_the_file_is_for() -> None:
    docstrings = {name(path): ast.get_docstring(tree(path)) or "" for path in SOURCES}
    assert [path for path, text in docstrings.items() if len(text.partition("\n")[0]) <= 15] == []


def test_no_arrow_runs_up() -> None:
    wrong = []
    for path in SOURCES:
        here = room(path)
        for module in imports(path) if name(path) != "__init__.py" else ():
            if module.startswith("provision.") and module != "provision.flash_attn":
                there = room_of(module.removeprefix("provision."))
                same_folder = there.partition(".")[0] == here.partition(".")[0]
                if not same_folder and floor(there) > floor(here):
                    wrong.append(f"{name(path)} imports {module}, which lies above it")
    assert wrong == []


def test_flash_attn_is_named_in_its_room_only() -> None:
    others = [path for path in SOURCES if room(path) != "flash_attn"]
    naming = {path for path in others if re.search(r"(?i)flash[-_]attn", path.read_text())}
    allowed = {path for path in naming if {name(path), room(path)} & NAMES_FLASH_ATTN.keys()}
    assert {name(path) for path in naming - allowed} == set()
    used = {key for path in allowed for key in (name(path), room(path))}
    assert NAMES_FLASH_ATTN.keys() - used == set(), "a reason that is needed no more"


def test_facts_plans_and_reports_do_no_io() -> None:
    pure = [
        path
        for path in SOURCES
        if room(path) in ("plan", "report")
        or (path.parent.name in ("diagnose", "signals") and path.stem != "catalogue")
        or (room(path) == "fit" and path.stem not in ("read_config", "prove", "exact"))
        or (path.parent.name == "host" and not path.name.startswith("_") and path.stem != "record")
    ]
    assert len(pure) > 50
    wrong = {}
    for path in pure:
        doors = {module for module in imports(path) if f"{module}.".startswith("provision.doors.")}
        if result := ((imports(path) | tops(path)) & IMPURE) | doors | (calls(path) & IO_CALLS):
            wrong[name(path)] = result
    assert wrong == {}


def test_the_only_ways_out() -> None:
    for module, allowed in ONLY_AT_THE_DOOR.items():
        users = {name(path) for path in SOURCES if module in tops(path)}
        assert users, module
        assert users - allowed == set(), module


def test_checks_and_provision_keep_apart() -> None:
    checks = [path for path in (ROOT / "checks").rglob("*.py") if "provision" in tops(path)]
    assert checks + [path for path in SOURCES if "checks" in tops(path)] == []


def test_sizes() -> None:
    """Count statements: a limit on lines would squeeze code instead of splitting it."""
    sizes = {
        name(path): sum(isinstance(node, ast.stmt) for node in ast.walk(tree(path)))
        for path in SOURCES
    }
    assert {path: size for path, size in sizes.items() if size > MOST_STATEMENTS} == {}
    functions = [
        (name(path), node.name, (node.end_lineno or 0) - node.lineno)
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert [function for function in functions if function[2] > MOST_LINES_OF_A_FUNCTION] == []


def test_verbs_are_all_that_lies_in_their_folder() -> None:
    files = {path.stem for path in (ROOT / "provision" / "verbs").glob("*.py")} - {"__init__"}
    assert files == set(VERBS)


def test_no_file_is_named_after_nothing() -> None:
    nameless = {"utils", "util", "helpers", "common", "misc", "manager", "base"}
    assert [name(path) for path in SOURCES if path.stem in nameless] == []


def test_only_the_command_line_prints() -> None:
    assert {name(path) for path in SOURCES if "print" in calls(path)} - ANSWER_ON_STDOUT == set()


def test_nothing_of_torch_on_this_side() -> None:
    wrong = {
        name(path): result
        for path in SOURCES
        if (result := {"torch", "vllm", "flash_attn"} & tops(path))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("argv", "forbidden"),
    [
        (
            ["--version"],
            {"argparse", "msgspec", "yaml", "packaging", "rich", "requests", "re", "pathlib"},
        ),
        (
            ["--help"],
            {
                "msgspec",
                "yaml",
                "packaging",
                "rich",
                "requests",
                "provision.settings",
                "provision.host",
            },
        ),
        (
            ["plan", "--json", "--host", str(ROOT / "tests" / "hosts" / "h100-550.yaml")],
            {
                "rich",
                "requests",
                "pypi_simple",
                "asyncio",
                "psutil",
                "pynvml",
                "elftools",
                "provision.doors.network",
                "jinja2",
            },
        ),
    ],
    ids=["--version", "--help", "plan --host --json"],
)
def test_what_a_verb_may_import(argv: list[str], forbidden: set[str]) -> None:
    """Unused imports would slow the start; benchmarks/ measures the times."""
    assert not imported_by(argv) & forbidden


def test_what_a_report_in_text_may_import(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(msgspec.json.encode(report()))
    forbidden = {"rich", "requests", "pypi_simple", "jinja2", "provision.report.compare"}
    assert not imported_by(["report", str(path), "--format", "text"]) & forbidden


def test_no_verb_brings_what_only_pages_need() -> None:
    """The page of a report, and those of an index."""
    verbs = [
        f"provision.verbs.{path.stem}" for path in (ROOT / "provision" / "verbs").glob("[a-z]*.py")
    ]
    code = f"import sys, {', '.join(verbs)}; sys.exit(' '.join({{'jinja2', 'pypi_simple'}} & set(sys.modules)) or 0)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def imported_by(argv: list[str]) -> set[str]:
    """Every module that a call imports."""
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['vllm-ready', *sys.argv[1:]]\n"
        "from provision.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True, check=True
    )
    result = set(done.stderr.split())
    assert "provision.cli" in result
    return result
