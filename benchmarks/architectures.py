"""Read which architectures each release of vLLM knows, and write the rows of the catalogue.

Of every wheel only `models/registry.py` travels (ranged requests), and it is parsed, never
imported. The first row lists all names, each later one what its release added and removed.
"""

from __future__ import annotations

import ast
import datetime as dt
import sys
from pathlib import Path

import msgspec

from provision import package_sources
from provision.catalog import published, rows
from provision.catalog.serving import ArchitectureChange
from provision.doors import addresses
from provision.host import _installer

REGISTRY = "vllm/model_executor/models/registry.py"
OTHERS = ("SPECULATIVE", "PREVIOUSLY", "OOT", "VLLM_MODELS")
OUTPUT = Path(rows.DATA) / "architectures.jsonl"


def names(source: str) -> set[str]:
    """Return the keys of the tables of models in the source of a registry."""
    result: set[str] = set()
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        name = target.id if isinstance(target, ast.Name) else ""
        value = getattr(node, "value", None)
        if not name.endswith("_MODELS") or any(word in name for word in OTHERS):
            continue
        if isinstance(value, ast.Dict):
            result |= {
                key.value
                for key in value.keys
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
    return result


def known(index: str, version: str) -> set[str] | None:
    """Return the architectures of one release; None where its wheel has no such file."""
    wheel_of_x86, *_ = published.newest_uploads(published.wheels(index, "vllm", version))
    with published.open_wheel(wheel_of_x86) as wheel:
        return names(wheel.read(REGISTRY).decode()) if REGISTRY in wheel.members else None


def main() -> None:
    """Write the rows, oldest release first."""
    index = package_sources.configured(_installer.installer_config()) or addresses.default_index()
    before: set[str] = set()
    lines = []
    for release in reversed(rows.load().vllm):
        now = known(index, release.version)
        sys.stderr.write(f"{release.version}: {len(now) if now else 'no registry'}\n")
        if now is None or now == before:
            continue
        row = ArchitectureChange(
            source=f"{REGISTRY} of the wheel",
            read=dt.datetime.now(dt.timezone.utc).date().isoformat(),
            version=release.version,
            added=tuple(sorted(now - before)),
            removed=tuple(sorted(before - now)),
        )
        lines.append(msgspec.json.encode(row).decode())
        before = now
    OUTPUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
