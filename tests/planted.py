"""A folder of generated pictures of which it is known what each is: the truth that decisions are held against.

Families are an original and what was made of it. Sizes, formats and names differ; nothing in a name tells.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from tests.pictures import encoded, photo

PLACEHOLDER_URLS = 24


@dataclass(frozen=True)
class Planted:
    """What one file is. `family`: files that show the same picture."""

    name: str  # below the folder
    kind: str  # original, same_bytes, near, mirrored, small, flat, corrupt, not_an_image, placeholder, look_alike
    family: int


def plant(folder: Path, pictures: int, seed: int = 0) -> list[Planted]:
    """Write about `pictures` files; what they are, in the order of their names."""
    rng = np.random.default_rng(seed)
    plan: list[Planted] = []
    family = 0
    while len(plan) < pictures - PLACEHOLDER_URLS:
        original = _picture(rng, family)
        for kind, body, extension in _family(rng, original, family):
            plan.append(Planted(_write(folder, len(plan), body, extension), kind, family))
        family += 1
    for n in range(PLACEHOLDER_URLS):
        body = encoded(photo(10**6, 300, 200), "PNG")
        name = _write(folder, len(plan), body, "png", {"url": f"http://shop.example/{n}.png"})
        plan.append(Planted(name, "placeholder", family))
    return sorted(plan, key=lambda one: one.name)


def _picture(rng: np.random.Generator, family: int) -> Image.Image:
    return photo(family, int(rng.integers(200, 330)), int(rng.integers(160, 260)))


def _family(rng: np.random.Generator, original: Image.Image, family: int) -> list[tuple[str, bytes, str]]:
    """Files that come from one picture; which ones, the family's number tells."""
    body = encoded(original, "JPEG", quality=92)
    files = [("original", body, "jpg")]
    match family % 10:
        case 0:
            files.append(("same_bytes", body, "jpeg"))
        case 1 | 2:
            files.append(("near", encoded(original, "JPEG", quality=60), "jpg"))
            files.append(("near", encoded(ImageEnhance.Brightness(original).enhance(1.1), "PNG"), "png"))
        case 3:
            width, height = original.size
            half = original.resize((width * 3 // 4, height * 3 // 4), Image.Resampling.LANCZOS)
            files.append(("near", encoded(half, "WEBP", quality=85), "webp"))
        case 4:
            files.append(("near", encoded(_cropped(original, 0.02), "JPEG", quality=90), "jpg"))
        case 5:
            files.append(("mirrored", encoded(ImageOps.mirror(original), "JPEG", quality=92), "jpg"))
        case 6:
            files.append(("small", encoded(photo(family + 10**5, 99, 140)), "jpg"))
        case 7:
            colour = tuple(int(c) for c in rng.integers(0, 255, 3))
            files.append(("flat", encoded(Image.new("RGB", (120 + family % 50, 130), colour), "PNG"), "png"))
        case 8:
            files.append(("corrupt", body[: len(body) // 2], "jpg"))
            files.append(("not_an_image", b"<html>gone %d</html>" % family, "jpg"))
        case 9:
            files.append(("look_alike", encoded(_look_alike(original, family), "JPEG", quality=92), "jpg"))
    return files


def _cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    dx, dy = round(width * share / 2), round(height * share / 2)
    return image.crop((dx, dy, width - dx, height - dy))


def _look_alike(image: Image.Image, family: int) -> Image.Image:
    """The same palette and the same left half, another right one."""
    width, height = image.size
    other = photo(family + 2 * 10**5, width, height)
    picture = image.copy()
    picture.paste(other.crop((width // 2, 0, width, height)), (width // 2, 0))
    return picture


def _write(
    folder: Path, number: int, body: bytes, extension: str, fields: dict[str, str] | None = None
) -> str:
    """Write a file under a name in which nothing of its kind shows."""
    mixed = hashlib.blake2b(number.to_bytes(4, "big"), digest_size=6).hexdigest()
    name = f"{mixed[:2]}/{mixed[2:]}.{extension}"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    if fields:
        path.with_suffix(".json").write_text(json.dumps(fields))
    return name


def truth(folder: Path, plan: list[Planted]) -> dict[str, str]:
    """sha256 of every file, by name."""
    return {one.name: hashlib.sha256((folder / one.name).read_bytes()).hexdigest() for one in plan}


def reference_hash(body: bytes) -> int:
    """`imagehash.phash` of a file, as a number."""
    import imagehash

    with Image.open(io.BytesIO(body)) as image:
        return int(str(imagehash.phash(image)), 16)
