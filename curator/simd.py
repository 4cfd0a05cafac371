"""Which vector instructions numpy may use: asked before it is imported, as it decides only then.

Searching sorts hashes, a million of them fifteen times over. numpy sorts by AVX-512 where a processor has it, with
an instruction (compress to memory) that AMD's Zen 4 takes a hundred cycles for: 55 ms a million where AVX2 takes
14, and all of the search 1.0 s where 0.35 will do (`python -m bench.dedup 1`). There numpy is told to do without.
Processors of Intel and later ones of AMD are left alone.
"""

import os
from pathlib import Path

_ASKED = "NPY_DISABLE_CPU_FEATURES"
_AVX512 = "X86_V4 AVX512_SKX AVX512_ICL AVX512_SPR"  # numpy's names, those of older versions among them
_CPUINFO = Path("/proc/cpuinfo")
_ZEN_3_AND_4 = {"vendor_id": "AuthenticAMD", "cpu family": "25"}  # Zen 3 has no AVX-512 to disable


def import_numpy(cpuinfo: Path = _CPUINFO) -> None:
    """Import numpy in this process so that it sorts fast. Workers and what the user has set are left alone."""
    if _ASKED in os.environ or not _compresses_slowly(cpuinfo):
        return
    os.environ[_ASKED] = _AVX512
    try:
        import numpy as _  # noqa: F401 - it reads the variable now, and never again
    finally:
        del os.environ[_ASKED]


def _compresses_slowly(cpuinfo: Path) -> bool:
    try:
        first = cpuinfo.read_text().partition("\n\n")[0]
    except OSError:
        return False  # another system
    fields = dict(line.split("\t", 1) for line in first.splitlines() if "\t" in line)
    return all(fields.get(name, "").strip("\t: ") == value for name, value in _ZEN_3_AND_4.items())
