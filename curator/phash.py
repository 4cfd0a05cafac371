"""The perceptual hash: bit for bit `imagehash.phash` of a 32x32 luma picture, many at a time.

How it works
- phash is the 8x8 low corner of an unnormalised DCT-II, each coefficient compared with the median of
  the 64. The corner of a stack of pictures is one matrix product, `D @ P @ D.T` with D of 8x32, which
  needs no scipy (25 MB and a quarter of a second per process) and costs a tenth of it.
- Rounding differs from scipy's by about 1e-11. It matters only where the 32nd and 33rd ranked
  coefficients are closer than that: flat, striped and symmetric pictures, where imagehash itself
  compares noise. There, below a gap of 1e-6, imagehash is asked. Photographs never get that close.
- A picture mirrored left to right has the same coefficients with the odd columns negated, so its hash
  costs no second transform.

Bits are numbered as imagehash prints them: row by row, the mean (DC) first, most significant bit first.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Lumas = npt.NDArray[np.uint8]  # (n, 32, 32)
Hashes = npt.NDArray[np.uint64]  # (n,)
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SIDE = 32
LEAST = 256  # pixels of each side of a picture that is large enough for its hash to be that of any larger one
_LOW = 8
_TIE = 1e-6

# Rounding a 32x32 picture to 8 bits moves each coefficient by about 64 * 0.29 = 18 (one sigma); where
# the middle half of the coefficients spans only a few times that, rounding chose the bits. Measured:
# flat and graded pictures after JPEG span up to 90, the dullest of 400 photographs 240.
_MIN_SPREAD = 100.0

_BASIS: Floats = 2 * np.cos(np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(SIDE) + 1) / (2 * SIDE))
_MIRROR: Floats = np.where(np.arange(_LOW) % 2, -1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Hashed:
    """The hashes of n pictures, those of their mirror images, and which of them say nothing."""

    phash: Hashes
    mirror: Hashes
    low_information: Bools


def hash_lumas(lumas: Lumas) -> Hashed:
    """Hash n pictures of 32x32 luma, shape (n, 32, 32)."""
    spectra = _spectra(lumas)
    phash, ranked = _bits(spectra, lumas)
    mirror, _ = _bits(spectra * _MIRROR, lumas[:, :, ::-1])
    spread = ranked[:, 47] - ranked[:, 16]
    low = (np.bitwise_count(phash) != 32) | (ranked[:, 32] - ranked[:, 31] < _TIE) | (spread < _MIN_SPREAD)
    return Hashed(phash, mirror, low)


def margin(luma: Lumas) -> float:
    """How far one picture's hash, shape (32, 32), is from changing in more than two bits.

    Two ranks on either side of the median have to change places for that: the distance between the
    31st and the 34th coefficient. Rounding a picture differently moves a coefficient by about 20.
    """
    ranked = np.sort(_spectra(luma), axis=None)
    return float(ranked[33] - ranked[30])


def as_hex(phash: int | np.uint64) -> str:
    """16 hex digits, as `str(imagehash.phash(...))` prints them."""
    return f"{int(phash):016x}"


def _spectra(lumas: Lumas) -> Floats:
    spectra: Floats = _BASIS @ lumas.astype(np.float64) @ _BASIS.T
    return spectra


def _bits(spectra: Floats, lumas: Lumas) -> tuple[Hashes, Floats]:
    """Each spectrum above its own median, packed; and the ranked coefficients, shape (n, 64)."""
    flat = spectra.reshape(-1, _LOW * _LOW)
    ranked = np.sort(flat, axis=1)
    median = (ranked[:, 31] + ranked[:, 32]) / 2
    phash = np.packbits(flat > median[:, None], axis=1).view(">u8")[:, 0].astype(np.uint64)
    for at in np.flatnonzero(ranked[:, 32] - ranked[:, 31] < _TIE):
        phash[at] = _tied(lumas[at])
    return phash, ranked


def _tied(luma: Lumas) -> int:
    """What imagehash says where rounding noise decides. One flat colour, by far the commonest such
    picture, has nothing but a mean and needs no import."""
    if luma.min() == luma.max():
        return 1 << 63 if luma[0, 0] else 0

    import imagehash  # brings scipy: most processes never need it

    return int(str(imagehash.phash(Image.fromarray(luma))), 16)
