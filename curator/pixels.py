"""What a decoded picture looks like, whatever its mode: in grey to be hashed, in colour to be seen.

Deep pixels are scaled to 8 bits, and what is transparent lies on white.

Colours are brought to sRGB where the file carries another profile of its own kind, RGB or CMYK: what is
written from them carries none, and phones' Display P3 would fade. A profile that says it is sRGB costs
20 us, another one about as much as the decode. One that LittleCMS refuses is left aside.
"""

import io
from contextlib import suppress

import numpy as np
from PIL import Image, ImageCms


def luma(image: Image.Image) -> Image.Image:
    """The picture in mode L: as `convert("L")` gives it, but deep pixels scaled and alpha over white."""
    if image.mode == "LAB":
        return image.getchannel("L")
    if (grey := _deep(image)) is not None:
        return grey
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return _over_white(rgba.convert("L"), rgba.getchannel("A"))
    return image if image.mode == "L" else image.convert("L")


def in_colour(image: Image.Image) -> Image.Image:
    """The picture in sRGB and mode RGB, or in L where it has no colours."""
    if (grey := _deep(image)) is not None:
        return grey
    if image.mode in ("1", "L", "LA", "La"):
        return luma(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return _over_white(_srgb(rgba.convert("RGB")), rgba.getchannel("A"))
    return _srgb(image)


def rgb(image: Image.Image) -> Image.Image:
    """The picture in mode RGB: itself, not a copy as `convert` makes one, where it is that."""
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep(image: Image.Image) -> Image.Image | None:
    """Grey pixels of more than 8 bits in mode L, None where they are not that."""
    if image.mode.startswith("I;16"):
        return _scaled(np.asarray(image), 257)
    if image.mode == "I":
        return _scaled(np.asarray(image).clip(0, 65535), 257)
    return _stretched(np.asarray(image)) if image.mode == "F" else None


def _scaled(pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]], step: int) -> Image.Image:
    return Image.fromarray((pixels // step).astype(np.uint8))


def _stretched(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Image.Image:
    """Float pixels have no agreed white: their own range becomes 0 to 255, what is not finite black."""
    finite = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = finite.min(), finite.max()
    return Image.fromarray(((finite - low) * (255 / (high - low or 1.0))).astype(np.uint8))


def _over_white(opaque: Image.Image, alpha: Image.Image) -> Image.Image:
    if alpha.getextrema() == (255, 255):
        return opaque
    white = Image.new(opaque.mode, opaque.size, "white")
    white.paste(opaque, mask=alpha)
    return white


def _srgb(image: Image.Image) -> Image.Image:
    """The picture in mode RGB, its colours as its profile means them."""
    if image.mode not in ("RGB", "CMYK", "LAB"):
        return rgb(image)
    with suppress(ImageCms.PyCMSError, OSError, ImportError):  # ImportError: a Pillow built without LittleCMS
        if (profile := _profile(image)) is not None:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
            if converted is not None:
                return converted
    return rgb(image)


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """What the colours are to be converted from, None where they are sRGB or nobody says."""
    if image.mode == "LAB":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    embedded = image.info.get("icc_profile")
    if not embedded:
        return None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
    same_kind = profile.profile.xcolor_space.strip() == image.mode
    return profile if same_kind and "sRGB" not in (profile.profile.profile_description or "") else None
