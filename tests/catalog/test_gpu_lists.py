"""benchmarks/gpu_lists.py: names and ids of public lists that the catalogue lacks are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu_lists

LIST = """10de  NVIDIA Corporation
\t20bd  GA100 [A800 SXM4 40GB]
\t1d16  GP108M [GeForce MX330]
\t0fbc  GM107 High Definition Audio Controller [GeForce 940MX]
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t74a1  Aqua Vanjaram [Instinct MI300X]
8086  Intel Corporation
\te20b  Battlemage G21 [Arc B580]
\tb080  Panther Lake [Arc B390]
"""


@pytest.mark.parametrize(
    ("more", "code", "found"),
    [
        ("", 0, "0 names without a row"),
        ("10de  NVIDIA\n\t1eb8  TU104GL [Wondercard 7]\n", 1, "Wondercard 7"),
        ("10de  NVIDIA\n\tfff0  XX100 [Tesla T4]\n", 1, "fff0 Tesla T4"),
        ("10de  NVIDIA\n\t2330  GH100 [Tesla T4]\n", 1, "7.5 by its name, 9.0 by its id"),
        ("8086  Intel\n\tfff0  XX [Arc A999]\n", 1, "Arc A999 (8086:fff0) is no accelerator"),
    ],
)
def test_what_is_missing_or_wrong(
    more: str, code: int, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pci.ids"
    path.write_text(LIST + more)
    assert gpu_lists.main([str(path)]) == code
    assert found in capsys.readouterr().out


def test_rows_for_names_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pci.ids"
    path.write_text("10de  NVIDIA\n\t1eb8  TU104GL [Wondercard 7 Mobile]\n")
    assert gpu_lists.main([str(path), "--rows"]) == 0
    assert '"name":"Wondercard 7","cc":"7.5"' in capsys.readouterr().out
