"""Pictures that look like the web's to a decoder, the same ones for the same seed.

    python -m bench.corpus FOLDER [COUNT] [SEED] [PHOTOS]

What a decoder pays for is pixels, the entropy coder's bits, and how a file was encoded. So sides are log-normal
around 600 px and shapes around 4:3 and 3:4; of the files 60 % are baseline and 30 % progressive JPEG, 6 % PNG and
4 % WebP; and quality and texture vary, so that files have a median near 36 KB and a mean near 95 KB.

Texture is that of photographs: they are cuts of real ones (PHOTOS), or of scenes made by the dead leaves model
(discs of power-law sizes, each hiding what lies below it: Lee, Mumford and Huang, 2001, doi 10.1023/A:1011109015675)
with noise whose spectrum falls as that of nature does. PNG is what drawings come as: its cuts have few colours.
"""

import argparse
import io
import json
import math
import os
import random
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from bench.reference import photos as in_folder

SIDE_PX, SIDE_SPREAD = 600.0, 0.65  # median and sigma of the logarithm
SIDES = 48, 4000  # px, the least and the most
KINDS = {"baseline": 0.60, "progressive": 0.30, "png": 0.06, "webp": 0.04}
SUFFIXES = {"baseline": ".jpg", "progressive": ".jpg", "png": ".png", "webp": ".webp"}
SCENES, SCENE = 12, (2048, 1536)


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of one file."""

    name: str
    kind: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """A folder of pictures and nothing else, and the truth about them in `truth.json` beside it."""

    folder: Path
    pictures: Sequence[Picture]


def pictures(folder: Path, *, seed: int, count: int, photos: Path | None = None) -> Corpus:
    """Make `count` pictures in `folder`/pictures, or take those that an earlier call with the same words left."""
    truth, words = folder / "truth.json", {"seed": seed, "count": count, "photos": str(photos or "")}
    if not truth.exists() or json.loads(truth.read_text())["words"] != words:
        shutil.rmtree(folder / "pictures", ignore_errors=True)  # of other words, or half made
        (folder / "pictures").mkdir(parents=True)
        found = _make(folder / "pictures", seed, count, _scenes(seed) if photos is None else _opened(photos))
        truth.write_text(json.dumps({"words": words, "pictures": [asdict(one) for one in found]}))
    made = json.loads(truth.read_text())["pictures"]
    return Corpus(folder / "pictures", [Picture(**one) for one in made])


def _make(folder: Path, seed: int, count: int, scenes: Sequence[Image.Image]) -> list[Picture]:
    kinds = [kind for kind, share in KINDS.items() for _ in range(math.ceil(share * count))]
    random.Random(seed).shuffle(kinds)

    def one(number: int) -> Picture:
        rng = random.Random(f"{seed}:{number}")
        name = f"{number:06d}{SUFFIXES[kinds[number]]}"
        image = _cut(rng, rng.choice(scenes))
        body = _encoded(rng, image, kinds[number])
        (folder / name).write_bytes(body)
        return Picture(name, kinds[number], image.width, image.height, len(body))

    with ThreadPoolExecutor(
        len(os.sched_getaffinity(0))
    ) as threads:  # Pillow works outside the interpreter's lock
        return list(threads.map(one, range(count)))


def _cut(rng: random.Random, scene: Image.Image) -> Image.Image:
    """A part of a scene at a random place, scale and side of the mirror."""
    side, shape = rng.lognormvariate(math.log(SIDE_PX), SIDE_SPREAD), rng.lognormvariate(math.log(4 / 3), 0.2)
    shape = math.sqrt(shape if rng.random() < 0.7 else 1 / shape)
    width, height = (min(max(round(one), SIDES[0]), SIDES[1]) for one in (side * shape, side / shape))
    most = 0.999 * min(scene.width / width, scene.height / height)
    scale = min(
        most, math.exp(rng.uniform(math.log(0.12), math.log(3)))
    )  # scene pixels a pixel: soft to busy
    across, down = scale * width, scale * height
    left, top = rng.uniform(0, scene.width - across), rng.uniform(0, scene.height - down)
    cut = scene.resize(
        (width, height), Image.Resampling.BICUBIC, (left, top, left + across, top + down), reducing_gap=2
    )
    return ImageOps.mirror(cut) if rng.random() < 0.5 else cut


def _encoded(rng: random.Random, image: Image.Image, kind: str) -> bytes:
    quality = rng.choice((70, 75, 80, 80, 85, 85, 90, 95))
    file = io.BytesIO()
    if kind == "png":
        image.quantize(rng.choice((8, 32)), Image.Quantize.FASTOCTREE).convert("RGB").save(file, "PNG")
    elif kind == "webp":
        image.save(file, "WEBP", quality=quality, method=2)
    else:
        image.save(file, "JPEG", quality=quality, progressive=kind == "progressive")
    return file.getvalue()


def _opened(photos: Path) -> list[Image.Image]:
    found = in_folder(photos)
    if not found:
        raise SystemExit(f"no pictures in {photos}")
    return [Image.open(path).convert("RGB") for path in found]


def _scenes(seed: int) -> list[Image.Image]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return list(
            threads.map(lambda number: _scene(random.Random(f"{seed}:scene:{number}")), range(SCENES))
        )


def _scene(rng: random.Random) -> Image.Image:
    """Leaves from the lowest to the topmost, with light falling off and grain over them."""
    scene = Image.new("RGB", SCENE)
    draw = ImageDraw.Draw(scene)
    hue = rng.random()
    for _ in range(2500):
        radius = min(8 / rng.random() ** 0.7, 250)  # px: many small, few large
        x, y = rng.uniform(0, SCENE[0]), rng.uniform(0, SCENE[1])
        tint, light = rng.gauss(hue, 0.12), min(max(rng.gauss(130, 45), 30), 255)
        turns = (tint, tint + 0.2, tint + 0.45)
        colour = tuple(round(light * (0.75 + 0.25 * math.cos(math.tau * turn))) for turn in turns)
        draw.ellipse((x - radius, y - radius * 0.8, x + radius, y + radius * 0.8), fill=colour)
    noise = np.random.default_rng(rng.getrandbits(32))
    lit = np.asarray(scene, np.float32) + rng.lognormvariate(1.3, 0.6) * _natural(noise)[..., None]
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def _natural(rng: np.random.Generator) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """Noise of unit spread whose amplitude falls with the frequency."""
    white = np.fft.rfft2(rng.standard_normal(SCENE[::-1], np.float32))
    down, across = np.fft.fftfreq(SCENE[1])[:, None], np.fft.rfftfreq(SCENE[0])
    shaped = np.fft.irfft2(white / np.maximum(np.hypot(down, across), 1e-3), SCENE[::-1])
    return (shaped / shaped.std()).astype(np.float32)


def main() -> None:
    """Make them and tell what they are like."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in (("count", 1000), ("seed", 1)):
        parser.add_argument(name, type=int, nargs="?", default=default)
    parser.add_argument("photos", type=Path, nargs="?")
    made = pictures(**vars(parser.parse_args()))
    sizes = np.array([one.bytes for one in made.pictures])
    sides = np.array([math.sqrt(one.width * one.height) for one in made.pictures])
    print(f"{len(sizes)} pictures in {made.folder}: median {np.median(sizes) / 1e3:.0f} KB, mean {sizes.mean() / 1e3:.0f} KB, sides around {np.median(sides):.0f} px")  # fmt: skip # noqa: E501
    for kind in KINDS:
        mine = [one.bytes for one in made.pictures if one.kind == kind]
        print(
            f"  {kind}: {len(mine)}, median {np.median(mine) / 1e3:.0f} KB, mean {np.mean(mine) / 1e3:.0f} KB"
        )


if __name__ == "__main__":
    main()
