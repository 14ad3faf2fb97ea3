"""Package sources that are silent: a needed one, one that answered before, one that never did."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import msgspec
import pytest

from provision import cli
from provision.display import question
from provision.engine import resolution_cache
from provision.errors import Interrupted, SourceFailed
from provision.host import from_text, sources
from provision.host._model import Host
from provision.host.sources import SourceAnswer
from provision.plan._model import Plan
from provision.session import inputs, planning, resolve, silence
from provision.session._model import Session
from provision.settings import Settings, SourceSettings
from provision.steps.model import Lock
from tests.doors.local_server import Resource, serving
from tests.faults.small_up import PLAN

ROOT = Path(__file__).parents[2]
YES = SourceAnswer(answers=True)
NO = SourceAnswer(answers=False, detail="no answer within 4 s", late=True)
ALL = dict.fromkeys(sources.NAMES, YES)


def host(**answers: SourceAnswer) -> Host:
    text = (ROOT / "tests/hosts/h100-550.yaml").read_text()
    described = from_text.parse(text, "h100-550.yaml")
    return described.replace({sources.FACT.name: {**ALL, **answers}})


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(
        settings=Settings(),
        prefix=str(tmp_path / "envs"),
        logs=str(tmp_path / "logs" / "r"),
        run="20261130T000000Z-0000",
        say=lambda _: None,
        options=Namespace(yes=True, json=False),
    )


def answered_before(session: Session, *names: str) -> None:
    addresses = inputs.addresses(session.settings)
    resolution = resolution_cache.Resolution(
        wish="",
        plan=PLAN,
        lock=Lock(pins=()),
        host_python="",
        answered={name: addresses[name] for name in names},
    )
    resolution_cache.save(Path(session.prefix), resolution)


def test_a_host_is_not_blamed_for_a_silent_source(session: Session) -> None:
    with pytest.raises(SourceFailed, match="there is no plan without PyPI") as failure:
        silence.refuse(session, host(pypi=NO, vllm=NO, github=NO))
    shown = msgspec.to_builtins(silence.document(failure.value))
    assert shown["schema"] == "vllm-ready/plan/1"
    (row,) = (row for row in shown["unreachable"] if row["source"] == "vllm")
    assert row == {
        "source": "vllm",
        "address": "https://wheels.vllm.ai/",
        "setting": "sources.vllm",
    }


def test_a_source_that_never_answered_is_a_warning(session: Session) -> None:
    here = host(vllm=NO, pytorch=NO, github=NO)
    silence.refuse(session, here)
    plan = planning.make_plan(here, session.settings, planning.catalogue(session.prefix))
    assert isinstance(plan, Plan)
    words = "no answer from the PyTorch index, the vLLM index, GitHub: this plan does without"
    assert words in plan.warnings


def test_a_source_that_answered_before_is_named_before_something_older(session: Session) -> None:
    here = host(vllm=NO, pytorch=NO, github=NO)
    answered_before(session, "pypi", "vllm", "pytorch", "github")
    with pytest.raises(SourceFailed, match=r"vLLM \S+ would be installed instead of \S+, without"):
        silence.refuse(session, here)


@pytest.mark.parametrize("agrees", [True, False])
def test_a_person_is_asked(session: Session, monkeypatch: pytest.MonkeyPatch, agrees: bool) -> None:
    answered_before(session, "pypi", "vllm", "pytorch", "github")
    session = msgspec.structs.replace(session, options=Namespace(yes=False, json=False))
    monkeypatch.setattr(question, "has_person", lambda: True)
    monkeypatch.setattr(question, "agreed", lambda _: agrees)
    if agrees:
        silence.refuse(session, host(vllm=NO, pytorch=NO, github=NO))
    else:
        with pytest.raises(Interrupted):
            silence.refuse(session, host(vllm=NO, pytorch=NO, github=NO))


def test_another_address_is_another_source(session: Session) -> None:
    answered_before(session, "pypi", "vllm", "pytorch", "github")
    last = resolution_cache.load(Path(session.prefix))
    assert last
    elsewhere = dict.fromkeys(last.answered, "https://elsewhere.example/")
    moved = msgspec.structs.replace(last, answered=elsewhere)
    resolution_cache.save(Path(session.prefix), moved)
    silence.refuse(session, host(vllm=NO, pytorch=NO, github=NO))


def test_a_late_source_is_asked_again_with_more_patience(session: Session) -> None:
    with serving() as server:
        server.resources["/simple/"] = Resource(b"<html></html>", "text/html")
        settings = Settings(sources=SourceSettings(pypi=server.url("/simple/")))
        session = msgspec.structs.replace(session, settings=settings)
        again = silence.patient(session, host(pypi=NO, vllm=NO))
        answers = again.known(sources.FACT)
        assert answers
        assert (answers["pypi"].answers, answers["vllm"].answers) == (True, False)
        assert server.resources["/simple/"].requests == 1
        refused = SourceAnswer(answers=False, detail="the connection is refused")
        silence.patient(session, host(pypi=refused))
        assert server.resources["/simple/"].requests == 1, "only a late one"


def test_what_answered_is_remembered(session: Session) -> None:
    answered_before(session, "github")
    assert set(silence.remembered(session, host(vllm=NO, github=NO))) == {
        "pypi",
        "pytorch",
        "github",
    }


@pytest.mark.parametrize("verb", ["up", "plan"])
def test_the_document_of_silent_sources(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
) -> None:
    monkeypatch.setattr(resolve, "here", lambda _: host(pypi=NO, vllm=NO, github=NO))
    monkeypatch.setattr(inputs, "checkout", lambda: str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "https://joe:secret@mirror.example/simple/")
    with pytest.raises(SourceFailed, match="from PIP_INDEX_URL"):
        cli.run([verb, "--json"])
    out = capsys.readouterr().out
    (pypi,) = (row for row in json.loads(out)["unreachable"] if row["source"] == "pypi")
    assert pypi["setting"] == "PIP_INDEX_URL"
    assert "secret" not in out
