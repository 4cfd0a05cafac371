"""A small luma picture to 32x32: Pillow's LANCZOS as two matrix products, its weights remembered.

Pillow computes the weights of a resize anew every time, which for a picture of a hundred pixels costs
more than using them. Widths repeat, so here they are kept. Two more things differ: the picture is not
rounded to 8 bits between the two passes (Pillow's is, which moves a pixel by one here and there), and
products are taken in float64, so that every machine rounds the same pixels the same way.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

SIDE = 32
_LOBES = 3


def shrink(
    small: npt.NDArray[np.uint8], width: float | None = None, height: float | None = None
) -> npt.NDArray[np.uint8]:
    """Resize a picture of shape (h, w) to (32, 32).

    `width` and `height`: how far the picture reaches, in its own pixels, when its last column or row is
    only partly covered.
    """
    down = _weights(small.shape[0], height or small.shape[0])
    across = _weights(small.shape[1], width or small.shape[1])
    shrunk = down @ (small.astype(np.float64) @ across.T)
    shrunk += 0.5
    return shrunk.clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=512)  # 10 MB when full
def _weights(cells: int, extent: float) -> npt.NDArray[np.float64]:
    """What each of `cells` pixels, reaching to `extent`, adds to each of 32: shape (32, cells)."""
    scale = extent / SIDE
    spread = max(scale, 1.0)  # enlarging interpolates between neighbours
    reach = _LOBES * spread
    centres = ((np.arange(SIDE) + 0.5) * scale)[:, None]
    cell = np.arange(cells)
    inside = (cell >= np.floor(centres - reach + 0.5)) & (cell < np.floor(centres + reach + 0.5))
    at = (cell + 0.5 - centres) / spread
    weights = np.where(inside, np.sinc(at) * np.sinc(at / _LOBES), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
