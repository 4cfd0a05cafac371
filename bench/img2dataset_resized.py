"""What img2dataset makes of pictures: the record that tests/test_encode.py holds our own encoder against.

Run in an environment of its own, from the project's root (its dependencies are not ours):

    python3.11 -m venv /tmp/i2d
    /tmp/i2d/bin/pip install img2dataset==1.47.0 'opencv-python-headless<5'
    /tmp/i2d/bin/python -m bench.img2dataset_resized tests/img2dataset_resized.npz

`sizes` has a row for each mode (by its place in MODES), width, height, side: and the width and height that came
out. `pixels_N_M` is what became of the N-th of PICTURES in the M-th mode, for the modes that frame: border and
center_crop, whose pixels are those of the two others within a frame.
"""

import io
import sys
from itertools import cycle

import numpy as np
from img2dataset.resizer import Resizer
from PIL import Image

MODES = ("border", "keep_ratio", "keep_ratio_largest", "center_crop")
SIZES = ((640, 480), (480, 640), (641, 479), (333, 1000), (1000, 7), (5, 3), (64, 64), (99, 100), (1, 50))
SIDES = (64, 101)
PICTURES = ((61, 97), (20, 15), (400, 300))  # shrunk by an odd factor, enlarged, shrunk far
SIDE = 24


def ramp(width, height):
    """A picture that any version of any library makes the same: waves of three colours."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (9 + 4 * c) + c) * np.cos(y / (7 + 5 * c)) for c in range(3)]
    return Image.fromarray(np.rint(127.5 + 127 * np.stack(waves, -1)).astype(np.uint8))


def resized(image, mode, side):
    """Its pixels after img2dataset's Resizer, by way of PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    resizer = Resizer(side, mode, resize_only_if_bigger=False, encode_format="png", encode_quality=9)
    body, *_, error = resizer(file)
    assert error is None, error
    return np.asarray(Image.open(io.BytesIO(body)))


def main():
    """Write the record."""
    sizes = [
        (mode, width, height, side, *resized(Image.new("RGB", (width, height)), name, side).shape[1::-1])
        for mode, name in enumerate(MODES)
        for (width, height), side in zip(SIZES, cycle(SIDES))
    ]
    pixels = {
        f"pixels_{number}_{mode}": resized(ramp(*size), name, SIDE)
        for number, size in enumerate(PICTURES)
        for mode, name in ((0, "border"), (3, "center_crop"))
    }
    np.savez_compressed(sys.argv[1], sizes=np.array(sizes, np.int32), **pixels)


if __name__ == "__main__":
    main()
