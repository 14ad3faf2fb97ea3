"""Nothing is ever installed into another Python than that of the environment.

Without pyvenv.cfg the link bin/python is the Python of the host. The uv of these tests refuses to
work there, so that a missing precaution fails a test and harms nothing.
"""

from __future__ import annotations

import msgspec
import pytest

from provision.binary import record
from provision.engine.integrity import installed, manifest, repair
from provision.engine.integrity.survey import DamagedDistribution
from provision.errors import StepFailed
from tests.engine import synthetic
from tests.engine.synthetic import World

pytestmark = pytest.mark.environment

REFUSED = "the installer was sent into another Python"
CAREFUL_UV = f"""\
#!/bin/sh
# uv, unless it would install outside of {{place}}
python=
for word; do
    [ "$before" != --python ] || python=$word
    before=$word
done
if [ "$1 $2" = "pip install" ]; then
    prefix=$("$python" -I -c 'import sys; print(sys.prefix)')
    case $prefix in "{{place}}"/*) ;; *) echo "{REFUSED}" >&2; exit 9 ;; esac
fi
exec "{{uv}}" "$@"
"""


@pytest.fixture
def careful(world: World) -> World:
    path = world.prefix.parent / "careful-uv"
    path.write_text(CAREFUL_UV.format(place=world.prefix.resolve(), uv=world.uv))
    path.chmod(0o755)
    return msgspec.structs.replace(world, uv=str(path))


@pytest.mark.parametrize("text", [None, "", "home = /nowhere\n"])
@pytest.mark.parametrize("finished", [True, False])
def test_an_environment_that_lost_its_python_gets_it_again(
    careful: World, monkeypatch: pytest.MonkeyPatch, text: str | None, finished: bool
) -> None:
    synthetic.provision(careful, "1.0", only=None if finished else 30)
    if not finished:
        synthetic.provision(careful, "1.0", only=40)
    (environment,) = {path.parent.resolve() for path in careful.prefix.glob("*/pyvenv.cfg")}
    settings = environment / "pyvenv.cfg"
    if text is None:
        settings.unlink()
    else:
        settings.write_text(text)
    for path in environment.glob("lib/python*/site-packages/toy07/part03.py"):
        path.write_text("damaged\n")
    monkeypatch.setattr(manifest, "boot_id", lambda: "another")
    synthetic.provision(careful, "1.0")
    assert installed.is_virtual(environment)
    lock = synthetic.lock(careful.wheels, "1.0")
    assert synthetic.differences(careful.current, lock) == []


def test_an_installer_is_not_started_for_another_python(careful: World) -> None:
    """The environment loses pyvenv.cfg after all was looked at, so that only the guard is left."""
    synthetic.provision(careful, "1.0", only=30)
    (environment,) = {path.parent.resolve() for path in careful.prefix.glob("*/pyvenv.cfg")}
    settings = environment / "pyvenv.cfg"

    def lose_it(event: object) -> None:
        if type(event).__name__ == "StepStarted" and getattr(event, "number", 0) == 40:
            settings.unlink(missing_ok=True)

    with pytest.raises(StepFailed, match="is not the Python of this environment, but of /"):
        synthetic.provision(careful, "1.0", events=lose_it)
    synthetic.provision(careful, "1.0")
    assert installed.is_virtual(environment)


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("pyvenv.cfg", True),
        ("bin/python", True),
        ("bin/python3.11", True),
        ("bin/activate", True),
        ("bin/activate.fish", True),
        (".vllm-ready/complete.json", True),
        ("bin/activate-global-python-argcomplete", False),
        ("bin/python-argcomplete", False),
        ("bin/vllm", False),
        ("lib/python3.11/site-packages/pyvenv.cfg", False),
    ],
)
def test_what_belongs_to_an_environment(path: str, own: bool) -> None:
    assert installed.belongs_to_environment(path) is own


def test_a_distribution_that_lists_parts_of_the_environment_is_refused(careful: World) -> None:
    synthetic.provision(careful, "1.0")
    site = careful.packages()
    listed = next(site.glob("toy07-*.dist-info")) / "RECORD"
    up = "../" * len(site.relative_to(careful.current).parts)
    listed.write_text(listed.read_text() + f"{up}pyvenv.cfg,,\n")
    survey = repair.find_damage(
        careful.current,
        synthetic.lock(careful.wheels, "1.0"),
        contents=True,
        step_files=frozenset(),
    )
    (damaged,) = (one for one in survey.damaged if one.name == "toy07")
    assert damaged.why.endswith("pyvenv.cfg, which belongs to the environment itself")
    repair.remove_distribution(careful.current, damaged)
    assert installed.is_virtual(careful.current)


@pytest.mark.parametrize("name", ["**x.py", "[a].py", "?.py"])
def test_a_file_name_that_looks_like_a_pattern_is_removed(careful: World, name: str) -> None:
    synthetic.provision(careful, "1.0")
    site = careful.packages()
    info = next(site.glob("toy07-*.dist-info"))
    (site / "toy07" / name).write_text("")
    stem = name.removesuffix(".py")
    cache = site / "toy07" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / f"{stem}.cpython-311.pyc").write_text("")
    (cache / "kept.cpython-311.pyc").write_text("")
    (info / "RECORD").write_text((info / "RECORD").read_text() + f"toy07/{name},,\n")
    assert record.read_entries(info / "RECORD")
    repair.remove_distribution(
        careful.current, DamagedDistribution(name="toy07", dist_info=info.name, why="test")
    )
    assert [path.name for path in cache.iterdir()] == ["kept.cpython-311.pyc"]
