"""The JSON schemas in docs/schemas match the types, and every written document matches them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import jsonschema
import msgspec
import pytest

from provision.diagnose._model import Diagnosis
from provision.engine.bundle import Bundle
from provision.events import CheckDone, CheckStarted, Event
from provision.fit.document import Fit
from provision.host._model import Recording
from provision.host.what_was_read import HostRead
from provision.plan._model import Plan, SilentSources, Unsupported
from provision.report._comparison import Comparison
from provision.report._model import Report
from provision.session.event_stream import Ended
from provision.verbs.wheels import Listed

ROOT = Path(__file__).parents[1]
SCHEMAS: dict[str, list[type]] = {  # each is one of these
    "host": [Recording],
    "host-read": [HostRead],
    "plan": [Plan, Unsupported, SilentSources],
    "fit": [Fit],
    "report": [Report],
    "diff": [Comparison],
    "bundle": [Bundle],
    "wheels": [Listed],
    "diagnosis": [Diagnosis],
    "events": [*get_args(Event), CheckStarted, CheckDone, Ended],
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLANS = sorted((ROOT / "tests" / "plans").glob("*.json"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_current(name: str, request: pytest.FixtureRequest) -> None:
    shapes, definitions = msgspec.json.schema_components(
        SCHEMAS[name], ref_template="#/$defs/{name}"
    )
    document = {"$schema": DIALECT, "anyOf": list(shapes), "$defs": definitions}
    text = json.dumps(document, indent=1) + "\n"
    path = ROOT / "docs" / "schemas" / f"{name}.json"
    if request.config.getoption("--renew-golden"):
        path.write_text(text)
    assert text == path.read_text(), "renew it: pytest tests/test_schemas.py --renew-golden"


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_keep_to_their_schema(path: Path) -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "plan.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(json.loads(path.read_text()))] == []


def test_a_plan_that_lacks_something_does_not_pass() -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "plan.json").read_text())
    plan = json.loads(PLANS[0].read_text())
    del plan["decisions"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plan, schema)
