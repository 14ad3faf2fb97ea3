"""fit/describe.py: models as their publishers count them, and one sentence for a config that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.errors import UnreadableInput
from provision.fit import describe, quantisation
from provision.fit._model import Matrix

MODELS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("models.yaml").read_text())
LLAMA = MODELS["Llama-3.2-1B"]["config"]


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_that_the_publisher_states(name: str) -> None:
    model = describe.describe(MODELS[name]["config"], name, name)
    assert model.parameters / 1e9 == pytest.approx(MODELS[name]["billions"], rel=0.001)


def changed(**fields: object) -> str:
    return json.dumps({**LLAMA, **fields})


def without(field: str) -> str:
    return json.dumps({key: value for key, value in LLAMA.items() if key != field})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("{", "is no JSON"),
        ("[1]", "no object"),
        ("[" * 100_000, "is no JSON"),
        ("{}", "has no `num_hidden_layers`"),
        (without("vocab_size"), "has no `vocab_size`"),
        (changed(num_attention_heads=33, head_dim=None), "is not divisible"),
        (changed(num_key_value_heads=5), "is not divisible by `num_key_value_heads` 5"),
        (changed(num_hidden_layers=10**7), "which no model has"),
        (changed(hidden_size=-4), "which no model has"),
        (changed(hidden_size="2048"), "which is no whole number"),
        (changed(hidden_size=2048.5), "which is no whole number"),
        (changed(quantization_config=[]), "`quantization_config` is no object"),
        (
            changed(quantization_config={"quant_method": "compressed-tensors"}),
            "no group with weights",
        ),
        ('{"_class_name": "UNet2DConditionModel"}', "is the config of an image model"),
        ('{"peft_type": "LORA"}', "is the config of a LoRA adapter"),
    ],
)
def test_a_config_that_is_none_is_answered_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as caught:
        describe.parse(text, "m", "config.json")
    assert says in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.where.startswith("config.json")
    assert caught.value.hint


def test_a_config_in_parts_is_read_where_its_language_model_is() -> None:
    whole = {"architectures": ["X"], "model_type": "x", "text_config": LLAMA}
    assert (
        describe.describe(whole, "m", "w").parameters
        == describe.describe(LLAMA, "m", "w").parameters
    )


@pytest.mark.parametrize(
    ("document", "scheme", "bits"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 8),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "w4a16", 4),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "w8a16", 8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb-nf4", 4),
        ({"quant_method": "mxfp4"}, "mxfp4", 4),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", 4),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "modelopt-fp8", 8),
        ({"quant_method": "gguf"}, "gguf", 4.8),
    ],
)
def test_formats_of_weights(document: dict[str, Any], scheme: str, bits: float) -> None:
    read = quantisation.read({"quantization_config": document}, "w")
    assert read is not None
    assert (read.scheme, read.bits) == (scheme, bits)


@pytest.mark.parametrize(
    ("weights", "inputs", "scheme"),
    [
        ({"num_bits": 8, "type": "float", "strategy": "channel"}, {"num_bits": 8}, "ct-fp8"),
        ({"num_bits": 8, "type": "float"}, None, "fp8-weight-only"),
        ({"num_bits": 8, "type": "int"}, {"num_bits": 8}, "int8-a8"),
        ({"num_bits": 4, "type": "int", "group_size": 128}, None, "w4a16"),
        ({"num_bits": 4, "type": "float", "group_size": 16}, {"num_bits": 4}, "nvfp4"),
        ({"num_bits": 4, "type": "int", "group_size": 128}, {"num_bits": 8}, "w4a8-fp8"),
    ],
)
def test_formats_of_compressed_tensors(
    weights: dict[str, Any], inputs: dict[str, Any] | None, scheme: str
) -> None:
    group = {"weights": weights, "input_activations": inputs}
    document = {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}
    read = quantisation.read({"quantization_config": document}, "w")
    assert read is not None
    assert read.scheme == scheme


@pytest.mark.parametrize(
    ("pattern", "applies"),
    [
        ("lm_head", True),
        ("model.layers.3.mlp.gate_proj", False),
        ("model.layers.*.mlp", False),
        ("re:.*mlp.*", False),
        ("re:[", True),  # no pattern: it leaves nothing out
        ("model.layers.30.mlp.gate_proj", True),
        ("mlp", False),
    ],
)
def test_what_a_format_leaves_out(pattern: str, *, applies: bool) -> None:
    document = {"quant_method": "fp8", "modules_to_not_convert": [pattern]}
    scheme = quantisation.read({"quantization_config": document}, "w")
    matrix = Matrix(name="layers.3.mlp.gate_proj", rows=1, columns=1, quantised=True)
    assert quantisation.applies(scheme, matrix) is applies
