"""The perceptual hash against imagehash itself."""

import io
import subprocess
import sys

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from curator.phash import SIDE, as_hex, hash_lumas, margin
from tests.pictures import encoded, photo

_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE]
_GREY = np.full((SIDE, SIDE), 127)
_BLOB = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE))

DEGENERATE = {
    "black": _GREY * 0,
    "grey": _GREY,
    "white": _GREY * 0 + 255,
    "gradient across": _COLUMNS * 8,
    "gradient down": _ROWS * 8,
    "gradient diagonal": (_ROWS + _COLUMNS) * 4,
    "stripes": _COLUMNS % 2 * 255,
    "wide stripes": _ROWS // 4 % 2 * 255,
    "checker": (_ROWS + _COLUMNS) % 2 * 255,
    "wide checker": (_ROWS // 4 + _COLUMNS // 4) % 2 * 255,
    "nearly flat": _GREY + _BLOB % 2,
    "noisy gradient": _COLUMNS * 4 + _BLOB % 2,
}
SYMMETRIC = {
    "mirrored across": np.hstack([_BLOB[:, :16], _BLOB[:, 15::-1]]),
    "mirrored down": np.vstack([_BLOB[:16], _BLOB[15::-1]]),
    "transposed": np.triu(_BLOB) + np.triu(_BLOB, 1).T,
}


def stack(*pictures):
    return np.stack([np.asarray(picture, dtype=np.uint8) for picture in pictures])


def asked(luma):
    """What imagehash says of a 32x32 picture."""
    return str(imagehash.phash(Image.fromarray(luma)))


def luma_of(image):
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(SIDE), st.just(SIDE))))
def test_hash_is_imagehash(lumas):
    """Any stack of pictures, mirror images included, gets the very bits imagehash gives each of them."""
    hashed = hash_lumas(lumas)
    assert [as_hex(one) for one in hashed.phash] == [asked(luma) for luma in lumas]
    mirrored = [asked(np.ascontiguousarray(luma[:, ::-1])) for luma in lumas]
    assert [as_hex(one) for one in hashed.mirror] == mirrored


@pytest.mark.parametrize("name", [*DEGENERATE, *SYMMETRIC])
def test_ties_are_imagehash_too(name):
    """Where rounding noise decides the bits, it is imagehash's rounding noise."""
    lumas = stack((DEGENERATE | SYMMETRIC)[name])
    assert as_hex(hash_lumas(lumas).phash[0]) == asked(lumas[0])


def test_every_flat_level_is_imagehash():
    """The short cut for flat pictures gives what imagehash gives at each of the 256 levels."""
    lumas = stack(*(np.full((SIDE, SIDE), level) for level in range(256)))
    assert [as_hex(one) for one in hash_lumas(lumas).phash] == [asked(luma) for luma in lumas]


@pytest.mark.parametrize("name", DEGENERATE)
def test_pictures_that_say_nothing_are_flagged(name):
    """Flat, graded, striped and checkered pictures have a hash that says nothing."""
    assert hash_lumas(stack(DEGENERATE[name])).low_information[0]


def test_a_compressed_flat_picture_is_flagged():
    """JPEG noise on one colour does not make its hash worth comparing."""
    noise = np.random.default_rng(2).integers(-2, 3, (200, 200, 3))
    file = encoded(Image.fromarray((90 + noise).astype(np.uint8)), "JPEG", quality=60)
    assert hash_lumas(stack(luma_of(Image.open(io.BytesIO(file))))).low_information[0]


def test_photographs_are_not_flagged():
    """No photograph, faint ones included, is taken for a picture that says nothing."""
    bright = [photo(seed) for seed in range(40)]
    faint = [image.point(lambda level: 100 + level // 8) for image in bright]
    assert not hash_lumas(stack(*map(luma_of, bright + faint))).low_information.any()


def test_mirror_hash_is_that_of_the_mirrored_picture():
    """The mirror hash finds the flipped picture: within the two bits that resizing it may cost."""
    images = [photo(seed) for seed in range(20)]
    mirrors = hash_lumas(stack(*map(luma_of, images))).mirror
    flipped = hash_lumas(stack(*(luma_of(ImageOps.mirror(image)) for image in images))).phash
    assert np.bitwise_count(mirrors ^ flipped).max() <= 2


def test_margin_bounds_what_rounding_can_change():
    """A picture whose margin is wide keeps its hash within two bits when every pixel moves by one."""
    rng = np.random.default_rng(5)
    lumas = stack(*(luma_of(photo(seed)) for seed in range(60)))
    moved = (lumas.astype(int) + rng.integers(-1, 2, lumas.shape)).clip(0, 255).astype(np.uint8)
    apart = np.bitwise_count(hash_lumas(lumas).phash ^ hash_lumas(moved).phash)
    wide = np.array([margin(luma) > 8 * 64 for luma in lumas])
    assert wide.any()
    assert apart[wide].max() <= 2


def test_scipy_is_not_loaded_for_photographs_and_flat_pictures():
    """Hashing what a crawl meets every second imports neither imagehash nor scipy."""
    program = (
        "import sys, numpy as np; from curator.phash import hash_lumas\n"
        "rng = np.random.default_rng(0)\n"
        "hash_lumas(rng.integers(0, 256, (9, 32, 32), dtype=np.uint8))\n"
        "hash_lumas(np.full((1, 32, 32), 255, np.uint8))\n"
        "sys.exit(bool({'scipy', 'imagehash', 'pywt'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
