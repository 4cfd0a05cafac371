"""Pictures for tests, made from numbers: the same seed gives the same picture.

`photo` looks like a photograph to a perceptual hash, `encoded` turns any picture into a file's bytes,
`jpeg` does both. `measures` makes the record of an image that never existed.
"""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from curator.records import Measures

_MEASURES = Measures(
    format="jpeg",
    mode="RGB",
    width=640,
    height=480,
    bytes=50_000,
    sha256="0" * 64,
    phash="a5a5a5a5a5a5a5a5",
    phash_mirror="f0f0f0f0f0f0f0f0",
    hash_kind="full",
    low_information=False,
    sharpness=100.0,
    brightness=128.0,
    contrast=40.0,
    entropy=7.0,
    exif="{}",
)


def photo(seed: int = 0, width: int = 320, height: int = 240) -> Image.Image:
    """An RGB picture with a photograph's spectrum: strong and smooth at large, fine detail on top."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128, np.int16)
    for side, strength in ((3, 70), (6, 45), (12, 25), (24, 12), (96, 6)):
        noise = (rng.standard_normal((side, side, 3)) * strength + 128).clip(0, 255).astype(np.uint8)
        pixels += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
        pixels -= 128
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def flat(colour: tuple[int, int, int] = (200, 30, 60), width: int = 64, height: int = 64) -> Image.Image:
    """One colour."""
    return Image.new("RGB", (width, height), colour)


def encoded(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:  # noqa: A002 - as Pillow names it
    """The picture as the bytes of a file; options as for `Image.save`."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def jpeg(seed: int = 0, width: int = 320, height: int = 240, quality: int = 85) -> bytes:
    """A photograph as a JPEG file of about 15 KB."""
    return encoded(photo(seed, width, height), "JPEG", quality=quality)


def oriented(image: Image.Image, orientation: int) -> bytes:
    """A lossless WebP whose EXIF says how it is to be turned (1 to 8)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "WEBP", lossless=True, exif=exif)


def swapped_profile() -> bytes:
    """A profile in which red means blue."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = srgb.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
    red, blue = named.index(b"rXYZ"), named.index(b"bXYZ")
    profile = bytearray(named)
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def measures(**changes: Any) -> Measures:
    """The measures of an ordinary photograph, with changes."""
    return _MEASURES._replace(**changes)
