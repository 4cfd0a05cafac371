"""summary.json of a curation: what came in, what stays and why not, and how far that is to be trusted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from curator.decide import Decided
from curator.decisions import Provenance
from curator.measuring import Progress
from curator.reasons import BY_CODE, Reason
from curator.trust import Chance, Score
from curator.units import counted
from curator.verdicts import Census, Verdicts

_NEARLY_ALL = 0.9  # of the images


def summarise(
    census: Census,
    decided: Decided,
    provenance: Provenance,
    progress: Progress,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The summary, but for its `seconds`. `images` = `kept` + all of `reasons`."""
    verdicts, kept = decided.verdicts, decided.verdicts.kept
    reasons = {BY_CODE[code].value: n for code, n in enumerate(np.bincount(verdicts.reason).tolist()) if n}
    reasons.pop(Reason.SAVED.value, None)
    size, led = census.bytes[: census.ours], _led(verdicts)
    told = [*_lost(reasons, census.ours), *warnings, *decided.warnings, *progress.warnings]
    if progress.more_warnings:
        told.append(f"and {progress.more_warnings:,} more of this kind")
    return {
        "images": census.ours,
        "kept": int(np.count_nonzero(kept)),
        "bytes": int(size.sum()),
        "kept_bytes": int(size[kept].sum()),
        "reasons": reasons,
        "sources": [
            {**asdict(one), "images": int(end - start), "kept": int(np.count_nonzero(kept[start:end]))}
            for one, start, end in zip(provenance.sources, census.starts, census.starts[1:], strict=False)
        ],
        "against": [asdict(one) for one in provenance.against],
        "settings": provenance.settings,
        "clusters": {
            "clusters": int(np.count_nonzero(led)),
            "copies": int(led.sum()),
            "largest": int(led.max(initial=0)),
        },
        "chance": None if decided.chance is None else _chance(decided.chance),
        "placeholders": [
            {
                "host": one.host,
                "sha256": one.sha256,
                "uid": one.uid,
                "urls": one.urls,
                "images": len(one.rows),
            }
            for one in decided.placeholders
        ],
        "since": None if decided.since is None else asdict(decided.since),
        "pairs": None if decided.pairs is None else _score(decided.pairs),
        "passed_over": dict(sorted(progress.passed_over.items())),
        "warnings": told,
    }


def _lost(reasons: Mapping[str, int], images: int) -> Iterator[str]:
    """What to say of rules that take everything, or that take for placeholders what may be none."""
    if sum(reasons.values()) == images:
        name, n = max(reasons.items(), key=lambda one: one[1])
        yield f"nothing is kept: {name} alone took {n:,} of {counted(images, 'image')}."
    stand_ins = reasons.get(Reason.PLACEHOLDER.value, 0)
    if stand_ins >= _NEARLY_ALL * images:
        yield (
            f"{stand_ins:,} of {counted(images, 'image')} are taken for placeholders, as their hosts give the same "
            "bytes for many URLs: --placeholder-from 0 takes them for copies like any others."
        )


def _led(verdicts: Verdicts) -> npt.NDArray[np.int64]:
    """How many of the images here each of them stands for; what a crawl left out is not among them."""
    leader = verdicts.leader
    follows = leader != np.arange(len(leader))
    return np.bincount(leader[follows], minlength=len(leader))[: len(leader)]


def _chance(chance: Chance) -> dict[str, Any]:
    return asdict(chance) | {"per_10000": chance.per_10000}


def _score(score: Score) -> dict[str, Any]:
    return asdict(score) | {"precision": score.precision, "recall": score.recall}
