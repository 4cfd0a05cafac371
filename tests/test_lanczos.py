"""The cached LANCZOS against Pillow's."""

import numpy as np
import pytest
from PIL import Image

from curator.lanczos import SIDE, resize, shrink
from tests.pictures import photo


@pytest.mark.parametrize("size", [(64, 64), (127, 90), (100, 33), (64, 20), (90, 1)])
@pytest.mark.parametrize("part", [0.0, 0.4])
def test_shrink_is_pillows_lanczos(size, part):
    """Every pixel is Pillow's within the one level that rounding between its passes may cost."""
    image = photo(1, *size).convert("L")
    extent = (size[0] - part, size[1] - part)
    theirs = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, (0, 0, *extent))
    ours = shrink(np.asarray(image), *extent)
    assert np.abs(ours.astype(int) - np.asarray(theirs)).max() <= 1


def test_the_whole_picture_by_default():
    """Without an extent, the picture reaches to its last column and row."""
    pixels = np.asarray(photo(2, 80, 70).convert("L"))
    assert (shrink(pixels) == shrink(pixels, 80.0, 70.0)).all()


@pytest.mark.parametrize("size", [(900, 20), (273, 273), (405, 127), (640, 360), (1200, 675)])
def test_a_large_picture_is_resized_as_pillow_does(size):
    """`resize` rounds where Pillow rounds: of 1,024 pixels hardly one is one level apart."""
    image = photo(3, *size).convert("L")
    theirs = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    apart = np.abs(resize(np.asarray(image)).astype(int) - np.asarray(theirs))
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 4
