"""The demo's pictures: made of a number, each unlike the others, so that nothing has to be shipped.

Waves of colour give a perceptual hash something to hold on to, shapes give edges, and a little grain keeps
encoders honest. The same seed gives the same pixels.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, features

FORMATS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP", "GIF", *(("AVIF",) if features.check("avif") else ()))
_FASTEST = {"PNG": {"compress_level": 1}, "WEBP": {"method": 0}, "AVIF": {"speed": 10}}
CONTENT_TYPES = {name: f"image/{name.lower()}" for name in FORMATS}


@lru_cache(maxsize=64)
def picture(seed: int) -> Image.Image:
    """An RGB picture, 240 to 560 pixels a side."""
    dice = np.random.default_rng(seed)
    width, height = (int(side) for side in dice.integers(240, 560, 2))
    # waves are smooth: a quarter of the size holds all of them
    y, x = np.mgrid[0 : 1 : height // 4 * 1j, 0 : 1 : width // 4 * 1j].astype(np.float32)
    light = np.zeros((*x.shape, 3), np.float32)
    for _ in range(6):
        across, down, phase = dice.uniform(-4, 4), dice.uniform(-4, 4), dice.uniform(0, 2 * np.pi)
        wave = np.cos(2 * np.pi * (across * x + down * y) + phase)
        light += wave[..., None] * dice.uniform(0.2, 1, 3)
    low, high = light.min(), light.max()
    small = Image.fromarray(((light - low) / (high - low) * 239).astype(np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    grain = dice.integers(0, 16, (height, width, 1), np.uint8)
    image = Image.fromarray(np.minimum(smooth, 239) + grain)
    _shapes(image, dice)
    return image


def _shapes(image: Image.Image, dice: np.random.Generator) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(int(dice.integers(3, 7))):
        left, top = dice.uniform(0, image.width * 0.8), dice.uniform(0, image.height * 0.8)
        wide, tall = dice.uniform(0.1, 0.4, 2) * image.size
        box = (left, top, left + wide, top + tall)
        colour = tuple(int(part) for part in dice.integers(0, 256, 3))
        (draw.ellipse if dice.random() < 0.5 else draw.rectangle)(box, fill=colour)


def encoded(image: Image.Image, form: str, quality: int = 88) -> bytes:
    """`image` as a file of one of FORMATS."""
    file = io.BytesIO()
    if form == "GIF":
        image = image.quantize(method=Image.Quantize.FASTOCTREE)
    image.save(file, form, quality=quality, **_FASTEST.get(form, {}))
    return file.getvalue()


@lru_cache(maxsize=512)
def original(seed: int) -> tuple[bytes, str]:
    """One picture's file and its Content-Type."""
    form = FORMATS[seed % len(FORMATS)]
    return encoded(picture(seed), form), CONTENT_TYPES[form]


def near_copy(seed: int) -> bytes:
    """The same picture as somebody else would have it: three quarters as large, a poorer JPEG."""
    image = picture(seed)
    smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
    return encoded(smaller, "JPEG", quality=70)


def thumbnail(seed: int) -> bytes:
    """The same picture, 32 pixels wide."""
    return encoded(picture(seed).resize((32, 24)), "JPEG")


def corrupt(seed: int) -> bytes:
    """A JPEG whose second half was never uploaded."""
    whole = encoded(picture(seed), "JPEG")
    return whole[: len(whole) // 2]
