"""Which way of reducing a picture before hashing it is the fastest that still agrees with imagehash?

    python bench/kernel.py PHOTOS [--crops 10] [--seed 7]

Takes a folder of photographs, cuts random crops at the sizes and qualities of the web, and prints for
each kernel how many hashes are those of `imagehash.phash` over the full picture, how far the others
are, milliseconds per image in turn with the bare decoding loop, and recall at radius 4 on re-encoded,
scaled and brightened copies. One thread. Pictures whose full hash says nothing are left out.

A kernel may become the default when at least 99.5 % are within two bits and no more than 0.5 points of
recall are lost against the full hash. The bare loop is what a crawl is measured against; the other
kernels only hash, while `measure` does everything that is recorded of an image.
"""

import argparse
import io
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from PIL import Image, ImageEnhance

from curator.encoding import Encoding
from curator.measure import MeasureSettings, measure
from curator.measure_encode import measure_encode_batch
from curator.phash import hash_lumas
from curator.records import Measures, Remade
from curator.rules import Rules

LANCZOS = Image.Resampling.LANCZOS
SIDES = (320, 400, 500, 640, 800)
QUALITIES = (75, 85, 92)
RADIUS = 4
ROUNDS = 3

Kernel = Callable[[bytes], int]


def crops(folder: Path, per_picture: int, rng: random.Random) -> Iterator[bytes]:
    """JPEG files cut from every picture in the folder."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
            continue
        with Image.open(path) as picture:
            image = picture.convert("RGB")
        for _ in range(per_picture):
            yield crop(image, rng)


def crop(image: Image.Image, rng: random.Random) -> bytes:
    """Half to all of a picture's sides, at a size and quality of the web."""
    share = rng.uniform(0.5, 1)
    width, height = int(image.width * share), int(image.height * share * rng.uniform(0.8, 1))
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    scale = rng.choice(SIDES) / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return jpeg(
        image.crop((left, top, left + width, top + height)).resize(size, LANCZOS), rng.choice(QUALITIES)
    )


def copies(body: bytes) -> Iterator[bytes]:
    """What happens to pictures on the web."""
    image = Image.open(io.BytesIO(body)).convert("RGB")
    yield jpeg(image, 60)
    for share in (0.75, 0.5):
        yield jpeg(image.resize((int(image.width * share), int(image.height * share)), LANCZOS), 85)
    yield jpeg(ImageEnhance.Brightness(image).enhance(1.15), 85)


def jpeg(image: Image.Image, quality: int) -> bytes:
    """The bytes of a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def bare_loop(body: bytes) -> None:
    """What no kernel can do without, as people write it."""
    image = Image.open(io.BytesIO(body))
    image.draft("L", (256, 256))
    image.load()


def reduced(draft: int | None, gap: float | None) -> Kernel:
    """Draft to a side, resize with a reducing gap, hash."""

    def kernel(body: bytes) -> int:
        image = Image.open(io.BytesIO(body))
        if draft:
            image.draft("L", (draft, draft))
        luma = image.convert("L").resize((32, 32), LANCZOS, reducing_gap=gap)
        return int(hash_lumas(np.asarray(luma)[None]).phash[0])

    return kernel


def measured(full_decode: bool) -> Kernel:
    """What a worker does with an image, from digest to entropy."""
    settings = MeasureSettings(full_decode=full_decode)

    def kernel(body: bytes) -> int:
        result = measure(body, settings)
        assert isinstance(result, Measures), result
        return int(result.phash, 16)

    return kernel


def resized(side: int) -> Kernel:
    """What a worker does with an image that is to be resized as well."""

    def kernel(body: bytes) -> int:
        [result] = measure_encode_batch(
            [body], lambda index: None, MeasureSettings(), Rules(), Encoding(side)
        )
        assert isinstance(result, Remade), result
        return int(result.measures.phash, 16)

    return kernel


KERNELS: dict[str, Kernel] = {
    "full": reduced(None, None),
    **{
        f"draft{draft}{f'-gap{gap}' if gap else ''}": reduced(draft, gap)
        for draft in (256, 192, 128)
        for gap in (None, 3, 2)
    },
    "measure": measured(full_decode=False),
    "measure full": measured(full_decode=True),
    "resize 256": resized(256),
    "resize 64": resized(64),
}


def says_something(body: bytes) -> bool:
    """Whether the full picture's hash can be compared at all."""
    result = measure(body, MeasureSettings(full_decode=True))
    return isinstance(result, Measures) and not result.low_information


def milliseconds(work: Callable[[bytes], object], bodies: list[bytes]) -> float:
    """Per image, one pass."""
    start = time.perf_counter()
    for body in bodies:
        work(body)
    return (time.perf_counter() - start) / len(bodies) * 1e3


def in_turn(kernel: Kernel, bodies: list[bytes]) -> tuple[float, float]:
    """The best of some rounds of the kernel and of the bare loop, alternating."""
    rounds = [(milliseconds(kernel, bodies), milliseconds(bare_loop, bodies)) for _ in range(ROUNDS)]
    ours, bare = zip(*rounds, strict=True)
    return min(ours), min(bare)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--crops", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    bodies = list(filter(says_something, crops(args.photos, args.crops, random.Random(args.seed))))
    changed = [list(copies(body)) for body in bodies]
    print(f"{len(bodies)} crops, {sum(map(len, bodies)) / len(bodies) / 1024:.0f} KiB on average")
    print(f"{'kernel':14} same %  <=2 %  max  recall %    ms   bare  over")
    exact = np.array([KERNELS["full"](body) for body in bodies], np.uint64)
    for name, kernel in KERNELS.items():
        hashes = np.array([kernel(body) for body in bodies], np.uint64)
        of_copies = np.array([[kernel(copy) for copy in of_one] for of_one in changed], np.uint64)
        apart = np.bitwise_count(hashes ^ exact)
        recall = np.mean(np.bitwise_count(of_copies ^ hashes[:, None]) <= RADIUS) * 100
        ours, bare = in_turn(kernel, bodies)
        print(
            f"{name:14} {np.mean(apart == 0) * 100:6.1f} {np.mean(apart <= 2) * 100:6.2f} {apart.max():4d}"
            f" {recall:9.2f} {ours:5.2f} {bare:6.2f} {ours - bare:5.2f}"
        )


if __name__ == "__main__":
    main()
