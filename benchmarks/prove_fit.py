"""Prove predictions of `fit` with a real vLLM for the CPU: one small model per architecture.

It needs an environment that ./setup.sh made on a host without a GPU: --prefix names its folder. The
figures are those of the KV cache; a CPU says nothing of activation, graphs and memory outside
PyTorch, which stay unproved.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.fit.small_models import MODELS  # noqa: E402 - after the path is set

SPACE_GIB = "1"
CODE = "import sys; sys.argv[0] = 'vllm-ready'; from provision.cli import main; main()"


def prove(config: dict[str, Any], prefix: str, flags: list[str]) -> tuple[int, dict[str, Any]]:
    """Return exit code and document of one proof."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        argv = ["fit", folder, "--prove", "--json", "--prefix", prefix, "--enforce-eager", *flags]
        done = subprocess.run(
            [sys.executable, "-c", CODE, *argv],
            cwd=ROOT,
            env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": SPACE_GIB},
            capture_output=True,
            text=True,
            check=False,
        )
    document: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, document


def main() -> int:
    """Print one line per architecture, and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefix", default="envs", help="folder of the environments")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODELS)} (default: all)")
    options = parser.parse_args()
    prefix = str(Path(options.prefix).resolve())
    failed = 0
    for name in options.names or MODELS:
        began = time.monotonic()
        code, document = prove(MODELS[name], prefix, ["--max-model-len", "4096"])
        proof = document.get("proof") or {"result": "no document", "figures": []}
        print(f"{name}: exit code {code}, {time.monotonic() - began:.0f} s, {proof['result']}")
        for figure in proof["figures"]:
            likely = figure["predicted"]["likely"]
            print(f"  {figure['name']}: predicted {likely:g}, printed {figure['measured']:g}")
        failed += code != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
