"""The recorded runs of cases.yaml, and the prediction of each."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from provision.catalog import rows
from provision.fit import describe, device, size
from provision.fit._model import Model, Request
from provision.fit.memory import Layout
from provision.host import from_text

CASES = Path(__file__).with_name("cases.yaml")
CATALOGUE = rows.load()
_FIELDS = {
    "tensor_parallel_size": "tensor_parallel",
    "pipeline_parallel_size": "pipeline_parallel",
    "gpu_memory_utilization": "utilisation",
    "enable_prefix_caching": "prefix_caching",
}


@cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(CASES.read_text(), Loader=yaml.CSafeLoader)
    return loaded


def runs() -> list[dict[str, Any]]:
    return list(document()["runs"])


@cache
def model(name: str) -> Model:
    return describe.describe(document()["models"][name], name, name)


def predict(run: dict[str, Any]) -> size.Sized:
    """Size a run as the command that it was: what no flag says is vLLM's default."""
    text = yaml.safe_dump({"gpus": [run["gpu"]]})
    host = from_text.parse(text, run["id"])
    gpus, _ = device.of_host(host, CATALOGUE)
    request = Request(
        judged=True,
        command=True,
        **{_FIELDS.get(key, key): value for key, value in run["flags"].items()},
    )
    layout = Layout(tensor=request.tensor_parallel or 1, pipeline=request.pipeline_parallel or 1)
    return size.size(model(run["model"]), gpus, request, run["vllm"], CATALOGUE, layout)
