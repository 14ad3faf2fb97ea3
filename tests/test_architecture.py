"""The house holds its own rules: floors, purity, the only ways out, sizes, and a first line that says what a file is for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.report.test_texts import report

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "provision").rglob("*.py"))

# From the ground up; a room may import itself and what lies below it, never what lies above or beside it.
FLOORS: list[set[str]] = [
    {"errors", "version", "display.tables"},
    {"yamltext"},
    {"settings"},
    {"package_sources"},
    {"doors"},
    {"host", "binary"},
    {"catalog"},
    {"plan", "flash_attn.choose", "flash_attn.match", "flash_attn.build_rules"},
    {"steps", "flash_attn.step_60_flash_attn"},
    {"tasks"},
    {"flash_attn.build_steps", "flash_attn.partial_build"},
    {"engine", "flash_attn.wheel_store"},
    {"flash_attn"},  # two floors of one room, until the loops around it are gone
    {"report"},
    {"crash", "arguments", "display"},
    {"session"},
    {"verbs"},
    {"cli"},
]
IMPURE = {"io", "os", "pathlib.Path", "shutil", "socket", "subprocess", "tempfile", "threading", "requests"}
ONLY_AT_THE_DOOR = {
    "subprocess": {"doors/process.py", "flash_attn/compile_flash_attn.py"},
    "requests": {"doors/network.py", "doors/sessions.py", "doors/remote_file.py"},
    "pypi_simple": {"doors/network.py", "catalog/published.py", "catalog/freshness.py"},
    "pynvml": {"doors/nvml_child.py"},
}


def name(path: Path) -> str:
    return path.relative_to(ROOT / "provision").as_posix()


def room(path: Path) -> str:
    return room_of(".".join(path.relative_to(ROOT / "provision").with_suffix("").parts))


def room_of(module: str) -> str:
    """Return the folder of a module, or the module itself where it has a floor of its own."""
    folder, _, rest = module.partition(".")
    two = f"{folder}.{rest.partition('.')[0]}"
    return two if any(two in rooms for rooms in FLOORS) else folder


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def floor(of: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if of in rooms)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_first_line_says_what_the_file_is_for(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text()))
    assert said, "a docstring comes first"
    assert len(said.splitlines()[0]) > 15


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.parent.name != "provision" or path.stem != "__init__"], ids=name
)
def test_no_arrow_runs_up(path: Path) -> None:
    here = floor(room(path))
    for module in imports(path):
        if module.startswith("provision.") and module != "provision.flash_attn":
            there = room_of(module.removeprefix("provision."))
            same_folder = there.split(".")[0] == room(path).split(".")[0]
            assert same_folder or floor(there) <= here, f"{room(path)} imports {module}, which lies above or beside it"


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in SOURCES
        if room(path) in ("plan", "report")
        or (path.parent.name == "host" and not path.name.startswith("_") and path.stem != "record")
    ],
    ids=name,
)
def test_facts_plans_and_reports_do_no_io(path: Path) -> None:
    assert not (imports(path) | {module.split(".")[0] for module in imports(path)}) & IMPURE
    assert "provision.doors" not in {".".join(module.split(".")[:2]) for module in imports(path)}
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "exec", "eval", "input"}


@pytest.mark.parametrize(("module", "allowed"), ONLY_AT_THE_DOOR.items())
def test_the_only_ways_out(module: str, allowed: set[str]) -> None:
    users = {name(path) for path in SOURCES if module in {found.split(".")[0] for found in imports(path)}}
    assert users
    assert users <= allowed


def test_checks_and_provision_keep_apart() -> None:
    for path in (ROOT / "checks").rglob("*.py"):
        assert not any(module.split(".")[0] == "provision" for module in imports(path))
    for path in SOURCES:
        assert not any(module.split(".")[0] == "checks" for module in imports(path))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_sizes(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 270, "does it hold two ideas?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno <= 60, f"{node.name} is long"


def test_most_files_are_short() -> None:
    lengths = sorted(path.read_text().count("\n") for path in SOURCES)
    assert lengths[len(lengths) // 2] <= 120


def test_no_file_is_named_after_nothing() -> None:
    nameless = {"utils", "util", "helpers", "common", "misc", "manager", "base"}
    assert not {path.stem for path in SOURCES} & nameless


def test_only_the_command_line_prints() -> None:
    for path in SOURCES:
        printing = {
            node.lineno
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        }
        if name(path) not in {"doors/nvml_child.py", "host/_reader.py"}:  # children whose stdout is their answer
            assert not printing, f"{name(path)} prints"


def test_nothing_of_torch_on_this_side() -> None:
    for path in SOURCES:
        assert not {"torch", "vllm", "flash_attn"} & {module.split(".")[0] for module in imports(path)}


@pytest.mark.parametrize(
    ("argv", "forbidden"),
    [
        (["--version"], {"argparse", "msgspec", "yaml", "packaging", "rich", "requests", "re", "pathlib"}),
        (["--help"], {"msgspec", "yaml", "packaging", "rich", "requests", "provision.settings", "provision.host"}),
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
                "pygal",
            },
        ),
    ],
    ids=["--version", "--help", "plan --host --json"],
)
def test_what_a_verb_may_import(argv: list[str], forbidden: set[str]) -> None:
    """Start-up stays short because of what is not imported; times are measured in benchmarks/, not here."""
    assert not imported_by(argv) & forbidden


def test_what_a_report_in_text_may_import(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(msgspec.json.encode(report()))
    forbidden = {"rich", "requests", "pypi_simple", "jinja2", "pygal", "provision.report.compare"}
    assert not imported_by(["report", str(path), "--format", "text"]) & forbidden


def test_no_verb_brings_what_only_pages_need() -> None:
    """The page of a report, and those of an index."""
    verbs = [f"provision.verbs.{path.stem}" for path in (ROOT / "provision" / "verbs").glob("[a-z]*.py")]
    code = f"import sys, {', '.join(verbs)}; sys.exit(' '.join({{'jinja2', 'pygal', 'pypi_simple'}} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def imported_by(argv: list[str]) -> set[str]:
    """Every module that a call imports."""
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['vllm-ready', *sys.argv[1:]]\n"
        "from provision.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True, check=True)
    found = set(done.stderr.split())
    assert "provision.cli" in found
    return found
