"""Sorting is fast where a processor's AVX-512 is not, and nothing else is touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ZEN_4 = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\nprocessor\t: 1\n"
ZEN_5 = ZEN_4.replace("25", "26")
INTEL = ZEN_4.replace("AuthenticAMD", "GenuineIntel")

SCRIPT = """
import os, sys
from pathlib import Path
from curator.simd import import_numpy
import_numpy(Path(sys.argv[1]))
print(os.environ.get("NPY_DISABLE_CPU_FEATURES"), "numpy" in sys.modules)
from numpy._core._multiarray_umath import __cpu_features__ as features
print(features.get("X86_V4", features.get("AVX512_SKX")))
"""


def asked(cpuinfo: Path, **environment: str) -> list[str]:
    """The variable afterwards, whether numpy is there, and whether it uses AVX-512."""
    command = [sys.executable, "-c", SCRIPT, str(cpuinfo)]
    return subprocess.check_output(command, text=True, env={**os.environ, **environment}).split()


def test_without_avx512_on_zen_4(tmp_path: Path):
    """There numpy does without it, and children of the process know nothing of that."""
    (tmp_path / "cpuinfo").write_text(ZEN_4)
    assert asked(tmp_path / "cpuinfo") == ["None", "True", "False"]


@pytest.mark.parametrize("text", [ZEN_5, INTEL, "", None])
def test_others_are_left_alone(tmp_path: Path, text: str | None):
    """On other processors and systems nothing is imported before its time."""
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert asked(tmp_path / "cpuinfo")[:2] == ["None", "False"]


def test_a_users_own_choice_counts(tmp_path: Path):
    """What a user has set for numpy stays as it is."""
    (tmp_path / "cpuinfo").write_text(ZEN_4)
    assert asked(tmp_path / "cpuinfo", NPY_DISABLE_CPU_FEATURES="X86_V3")[:2] == ["X86_V3", "False"]
