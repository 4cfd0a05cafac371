"""Which `--where` finds blurry, dark, bright and empty pictures, and how many good ones does it cost?

    python -m bench.quality --photos FOLDER [--crops 10] [--seed 7]

Takes a folder of photographs that are as they should be, cuts random crops at the sizes and qualities of the web
(`bench.kernel`), and makes of each what nobody wants to train on: blurred, underexposed, overexposed, or hardly
anything to be seen (one colour with noise, a gradient, a plain page with a small mark). All are measured as
`curate` measures them.

For each kind and each measure it prints the threshold that loses at most 2 % of the crops, and how many of the
spoilt ones it catches, mildest first; then what the threshold that catches 95 % of all of them would lose. The
last lines are the best measure of each kind as a condition: the threshold that catches 95 % where it loses at
most 2 %, else the one that loses 2 %, to two digits.

Bias: a crop of a photograph may itself be blurry, dark or empty, and counts as lost; only those whose hash says
nothing are left out. A blur is a share of the longer side, since sharpness is that of the picture at 64 to 127
pixels a side: what only shows at full size is not seen. Other collections differ: look at some of what a
condition leaves out, in the report.
"""

import argparse
import io
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from bench.kernel import crops, jpeg, says_something
from curator.measure import MeasureSettings, measure
from curator.records import Measures

LOST = 0.02
CAUGHT = 0.95
MEASURES: Mapping[str, Callable[[Measures], float]] = {
    "sharpness": lambda one: one.sharpness,
    # the Laplacian's variance grows with the contrast squared, whatever the focus
    "sharpness / contrast ** 2": lambda one: one.sharpness / max(one.contrast, 1e-9) ** 2,
    "brightness": lambda one: one.brightness,
    "contrast": lambda one: one.contrast,
    "entropy": lambda one: one.entropy,
}
QUALITY = 85
GAMMA = 2.2

Spoil = Callable[[Image.Image, random.Random], Image.Image]
Numbers = npt.NDArray[np.float64]


def blurred(share: float) -> Spoil:
    """By a Gaussian whose radius is a share of the longer side."""
    return lambda image, _: image.filter(ImageFilter.GaussianBlur(share * max(image.size)))


def exposed(stops: float) -> Spoil:
    """With so many stops more light."""
    return lambda image, _: brightened(image, 2.0**stops)


def overexposed(share: float) -> Spoil:
    """With so much more light that this share of its pixels is white."""

    def spoil(image: Image.Image, _: random.Random) -> Image.Image:
        least = float(np.quantile(np.asarray(image).min(axis=2), 1 - share))
        return brightened(image, (255 / max(least, 1)) ** GAMMA)

    return spoil


def brightened(image: Image.Image, times: float) -> Image.Image:
    """With so many times the light, in linear light; what is too bright is white."""
    after = np.clip((np.arange(256) / 255) ** GAMMA * times, 0, 1) ** (1 / GAMMA) * 255
    return image.point([round(level) for level in after] * 3)


def plain(image: Image.Image, rng: random.Random) -> Image.Image:
    """One colour, a little noise."""
    colour = [rng.randint(0, 255) for _ in range(3)]
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 2, (image.height, image.width, 1))
    return Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8))


def gradient(image: Image.Image, rng: random.Random) -> Image.Image:
    """From one colour to a similar one."""
    first = np.array([rng.randint(40, 215) for _ in range(3)])
    last = first + [rng.randint(-40, 40) for _ in range(3)]
    steps = np.linspace(0, 1, image.height)[:, None, None] * np.ones((1, image.width, 1))
    return Image.fromarray((first + steps * (last - first)).clip(0, 255).astype(np.uint8))


def marked(image: Image.Image, rng: random.Random) -> Image.Image:
    """A page of one light colour with a few words in its middle."""
    page = Image.new("RGB", image.size, tuple([rng.randint(225, 255)] * 3))
    place = image.width * 0.4, image.height * 0.48
    ImageDraw.Draw(page).text(
        place, "image not found", fill=(90, 90, 90), font_size=max(10, image.width // 28)
    )
    return page


KINDS: Mapping[str, Mapping[str, Spoil]] = {
    "blurry": {f"radius {share:.1%}": blurred(share) for share in (0.005, 0.01, 0.02)},
    "dark": {f"{stops} stops": exposed(stops) for stops in (-4, -5, -6)},
    "bright": {f"{share:.0%} white": overexposed(share) for share in (0.6, 0.75, 0.9)},
    "empty": {"words": marked, "gradient": gradient, "one colour": plain},
}
UPWARDS = {("bright", "brightness")}  # too much of it, not too little


class Found(NamedTuple):
    """A condition of one measure: `lost` and `caught` are shares, `caught` of each way to spoil."""

    measure: str
    sign: str
    threshold: float
    lost: float
    caught: dict[str, float]

    @property
    def all_caught(self) -> float:
        """Of all ways together."""
        return float(np.mean(list(self.caught.values())))


def measured(bodies: list[bytes]) -> dict[str, Numbers]:
    """The measures of pictures, by name."""
    found = [one for body in bodies if isinstance(one := measure(body, MeasureSettings()), Measures)]
    assert len(found) == len(bodies), "a picture made here could not be measured"
    return {name: np.array([value(one) for one in found]) for name, value in MEASURES.items()}


def condition(kind: str, name: str, good: Numbers, spoilt: dict[str, Numbers], threshold: float) -> Found:
    """What `name` beyond `threshold` loses and catches."""
    up = (kind, name) in UPWARDS

    def share(values: Numbers) -> float:
        return float(np.mean(values > threshold if up else values < threshold))

    caught = {way: share(values) for way, values in spoilt.items()}
    return Found(name, "<=" if up else ">=", threshold, share(good), caught)


def at_most_lost(kind: str, name: str, good: Numbers) -> float:
    """The threshold that loses as much as may be lost."""
    if (kind, name) in UPWARDS:
        return float(np.quantile(good, 1 - LOST, method="higher"))
    return float(np.quantile(good, LOST, method="lower"))


def catching(kind: str, name: str, spoilt: dict[str, Numbers]) -> float:
    """The threshold that catches nearly all."""
    together = np.concatenate(list(spoilt.values()))
    return float(np.quantile(together, 1 - CAUGHT if (kind, name) in UPWARDS else CAUGHT))


def rounded(value: float) -> float:
    """Two digits."""
    return float(f"{value:.1e}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--crops", type=int, default=10, help="of each")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    rng = random.Random(args.seed)
    bodies = list(filter(says_something, crops(args.photos, args.crops, rng)))
    good = measured(bodies)
    show_distributions(good, f"{len(bodies)} crops")
    best = [show_kind(kind, ways, bodies, good, rng) for kind, ways in KINDS.items()]
    print("\nkind     --where                     keeps of good   leaves out of spoilt")
    for kind, found in best:
        ways = ", ".join(f"{way} {share:.0%}" for way, share in found.caught.items())
        told = f"{found.measure} {found.sign} {found.threshold:g}"
        print(f"{kind:8} {told:27} {1 - found.lost:13.1%}   {ways}")


def show_distributions(values: dict[str, Numbers], of: str) -> None:
    """Quantiles of each measure."""
    marks = (0, 1, 5, 25, 50, 75, 95, 99, 100)
    print(f"\n{of:22} " + " ".join(f"{f'{mark} %':>7}" for mark in marks))
    for name in MEASURES:
        print(f"{name:>22} " + " ".join(f"{value:7.2f}" for value in np.percentile(values[name], marks)))


def show_kind(
    kind: str, ways: Mapping[str, Spoil], bodies: list[bytes], good: dict[str, Numbers], rng: random.Random
) -> tuple[str, Found]:
    """What each measure says of one kind; the best, with its threshold rounded."""
    spoilt = {way: measured([remade(body, spoil, rng) for body in bodies]) for way, spoil in ways.items()}
    for way, values in spoilt.items():
        show_distributions(values, f"{kind}: {way}")
    print(f"\n{kind}: {'losing at most 2 %':33} {'catches ' + ', '.join(ways):45} catching 95 %")
    best = []
    for name in MEASURES:
        columns = {way: values[name] for way, values in spoilt.items()}
        found = condition(kind, name, good[name], columns, at_most_lost(kind, name, good[name]))
        loose = condition(kind, name, good[name], columns, catching(kind, name, columns))
        shares = ", ".join(f"{share:.0%}" for share in found.caught.values())
        told = f"{name} {found.sign} {found.threshold:.2f}"
        print(f"        {told:33} {shares:45} {loose.sign} {loose.threshold:.2f} loses {loose.lost:.1%}")
        chosen = loose if loose.lost <= LOST else found
        best.append(condition(kind, name, good[name], columns, rounded(chosen.threshold)))
    return kind, max(best, key=lambda one: (round(one.all_caught, 2), -one.lost))


def remade(body: bytes, spoil: Spoil, rng: random.Random) -> bytes:
    """A picture spoilt and encoded again."""
    with Image.open(io.BytesIO(body)) as image:
        return jpeg(spoil(image.convert("RGB"), rng), QUALITY)


if __name__ == "__main__":
    main()
