"""Luma pictures to 32x32: Pillow's LANCZOS as two matrix products, its weights remembered.

`shrink` is for pictures of a hundred pixels a side. Pillow computes the weights of a resize anew every
time, which there costs more than using them; sizes repeat, so here they are kept. Two more things
differ: the picture is not rounded to 8 bits between the two passes (Pillow's is, which moves a pixel by
one here and there), and products are taken in float64, so that every machine rounds the same pixels the
same way.

`resize` is for large ones, in a third of Pillow's time, and rounds where Pillow rounds. Products are
taken in float32: a pixel in some thousands comes out one apart.
"""

from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

SIDE = 32
_LOBES = 3
_STRIP = 64  # rows made float at a time: they stay in the cache until they are used

Luma = npt.NDArray[np.uint8]
Real = TypeVar("Real", np.float32, np.float64)
_ROWS = np.arange(SIDE)[:, None]


def shrink(small: Luma, width: float | None = None, height: float | None = None) -> Luma:
    """Resize a picture of shape (h, w) to (32, 32).

    `width` and `height`: how far the picture reaches, in its own pixels, when its last column or row is
    only partly covered.
    """
    down = _weights(small.shape[0], height or small.shape[0])
    across = _weights(small.shape[1], width or small.shape[1])
    shrunk = down @ (small.astype(np.float64) @ across.T)
    shrunk += 0.5
    return shrunk.clip(0, 255).astype(np.uint8)


def resize(large: Luma) -> Luma:
    """Resize a picture of shape (h, w) to (32, 32), first across and then down."""
    height, width = large.shape
    down, across = _weights_for_large(height), _weights_for_large(width).T
    narrow = np.empty((height, SIDE), np.float32)
    for top in range(0, height, _STRIP):
        np.matmul(large[top : top + _STRIP].astype(np.float32), across, out=narrow[top : top + _STRIP])
    return _rounded(down @ _rounded(narrow).astype(np.float32))


def _rounded(pixels: npt.NDArray[np.float32]) -> Luma:
    pixels += np.float32(0.5)
    return pixels.clip(0, 255, out=pixels).astype(np.uint8)


@lru_cache(maxsize=32)  # 4 KB for 32 pixels: 6 MB when full of sides of 1,500
def _weights_for_large(cells: int) -> npt.NDArray[np.float32]:
    half = _scattered(*_near_for_large(cells), cells)
    return np.concatenate((half, half[::-1, ::-1]))


@lru_cache(maxsize=512)  # 12 bytes a pixel: 3 MB when full of sides of 450
def _near_for_large(cells: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """As `_near`, of the first 16 outputs: the others see the same from the other end."""
    first, near = _near(cells, cells, _ROWS[: SIDE // 2])
    return first, near.astype(np.float32)


@lru_cache(maxsize=512)  # 10 MB when full
def _weights(cells: int, extent: float) -> npt.NDArray[np.float64]:
    return np.ascontiguousarray(_scattered(*_near(cells, extent, _ROWS), cells))


def _near(
    cells: int, extent: float, rows: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Which of `cells` pixels, reaching to `extent`, each of `rows` sees: the first, and what n from there add to it.

    `rows`: some of the 32 outputs, shape (m, 1). Shapes (m, 1) and (m, n). A fifth of all are within reach; pixels
    beyond the edges are among them and add nothing.
    """
    scale = extent / SIDE
    spread = max(scale, 1.0)  # enlarging interpolates between neighbours
    reach = _LOBES * spread
    centres = (rows + 0.5) * scale
    first = np.floor(centres - reach + 0.5)
    offsets = np.arange(int(2 * reach) + 2)
    third = (offsets + (first + 0.5 - centres)) * (np.pi / reach)
    third[third == 0] = 1e-9
    square = np.square(np.sin(third))
    third *= third
    near = (3 - 4 * square) * square / third  # sinc(x) sinc(x / 3), as sin 3t = (3 - 4 sin^2 t) sin t
    start = first.astype(np.intp)
    cell = start + offsets
    near[(third >= np.pi**2) | (cell < 0) | (cell >= cells)] = 0
    near /= near.sum(axis=1, keepdims=True)
    return start, near


def _scattered(first: npt.NDArray[np.intp], near: npt.NDArray[Real], cells: int) -> npt.NDArray[Real]:
    """What each of `cells` pixels adds to each of m outputs: shape (m, cells)."""
    outputs, beyond = near.shape
    weights = np.zeros((outputs, cells + 2 * beyond), near.dtype)
    weights[_ROWS[:outputs], first + np.arange(beyond, 2 * beyond)] = near
    return weights[:, beyond : beyond + cells]
