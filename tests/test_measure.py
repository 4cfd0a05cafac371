"""What is recorded of an image, and how it compares with measuring the whole picture."""

import hashlib
import io
import json
import subprocess
import sys

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from curator.measure import FULL, HASH_KIND, MeasureSettings, measure, measure_batch
from curator.reasons import Reason
from curator.records import Measures, Unmeasured
from tests.pictures import encoded, flat, jpeg, oriented, photo

DEFAULT = MeasureSettings()
WHOLE = MeasureSettings(full_decode=True)


def measured(body, settings=DEFAULT):
    result = measure(body, settings)
    assert isinstance(result, Measures), result
    return result


def apart(one, other):
    """Bits in which two hashes of 16 hex digits differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def imagehash_of(body):
    """What imagehash says of the upright picture."""
    return str(imagehash.phash(ImageOps.exif_transpose(Image.open(io.BytesIO(body)))))


def copies(body):
    """The same photograph re-encoded, scaled twice and brightened."""
    image = Image.open(io.BytesIO(body)).convert("RGB")
    for share in (0.75, 0.5):
        small = image.resize((int(image.width * share), int(image.height * share)), Image.Resampling.LANCZOS)
        yield encoded(small, "JPEG", quality=85)
    yield encoded(image, "JPEG", quality=60)
    yield encoded(ImageEnhance.Brightness(image).enhance(1.15), "JPEG", quality=85)


def test_everything_is_recorded():
    """One call gives format, mode, size, bytes, digest, both hashes and their kind."""
    body = jpeg(1, 500, 400)
    result = measured(body)
    assert (result.format, result.mode, result.width, result.height) == ("jpeg", "RGB", 500, 400)
    assert (result.bytes, result.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert (result.hash_kind, result.low_information, result.exif) == (HASH_KIND, False, "{}")
    assert len(result.phash) == len(result.phash_mirror) == 16


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO"])
def test_full_decode_is_imagehash(format_):
    """Decoded in full, every format gets exactly the hash that imagehash gives the file."""
    for seed in range(4):
        body = encoded(photo(seed, 301, 203), format_)
        assert measured(body, WHOLE).phash == imagehash_of(body)
        assert measured(body, WHOLE).hash_kind == FULL


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_part_of_the_picture(orientation):
    """Size and hash are those of the upright picture: exactly in full, within two bits by default."""
    body = oriented(photo(2, 320, 200), orientation)
    expected = imagehash_of(body)
    assert measured(body, WHOLE).phash == expected
    assert apart(measured(body).phash, expected) <= 2
    assert measured(body).width == (320 if orientation < 5 else 200)
    assert json.loads(measured(body).exif) == {"Orientation": orientation}


def test_the_default_agrees_with_imagehash():
    """The reduced hash is imagehash's within two bits for every photograph, whatever its size and type."""
    rng = np.random.default_rng(3)
    for seed in range(36):
        width, height = (int(side) for side in rng.integers(100, 640, 2))
        body = encoded(photo(seed, width, height), ("JPEG", "PNG", "WEBP")[seed % 3])
        assert apart(measured(body).phash, imagehash_of(body)) <= 2, (seed, width, height)


def test_faint_photographs_agree_too():
    """Where rounding could turn more than two bits, the picture is looked at again and they do not turn."""
    for seed in range(15):
        faint = photo(seed, 300, 220).point(lambda level: 100 + level // 12)
        body = encoded(faint, "PNG")
        assert apart(measured(body).phash, imagehash_of(body)) <= 2, seed


def recall(bodies, changed, settings):
    """The share of changed copies whose hash is within four bits of the original's."""
    found = [
        apart(measured(copy, settings).phash, measured(body, settings).phash) <= 4
        for body, copies_of_it in zip(bodies, changed, strict=True)
        for copy in copies_of_it
    ]
    return sum(found) / len(found)


def test_changed_copies_are_recognised():
    """Re-encoded, scaled and brightened copies are found by the reduced hash as often as by the full one."""
    bodies = [jpeg(seed, 640, 480) for seed in range(16)]
    changed = [list(copies(body)) for body in bodies]
    assert recall(bodies, changed, DEFAULT) >= max(0.9, recall(bodies, changed, WHOLE) - 0.03)


def test_mirror_hash_finds_the_flipped_picture():
    """The mirror hash is the hash of the flipped file, within what encoding it again costs."""
    for seed in range(8):
        image = photo(seed, 400, 300)
        flipped = measured(encoded(ImageOps.mirror(image), "PNG")).phash
        assert apart(measured(encoded(image, "PNG")).phash_mirror, flipped) <= 4


def test_flat_pictures_say_nothing():
    """One colour is flagged, a photograph is not."""
    assert measured(encoded(flat(width=300, height=200), "JPEG")).low_information
    assert not measured(jpeg(4)).low_information


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 500), (5000, 1), (3, 3), (33, 31), (127, 64), (129, 1)])
def test_odd_sizes_are_measured(size):
    """No size is too small or too thin to be measured, and every number is finite."""
    result = measured(encoded(photo(5).resize(size), "PNG"))
    assert (result.width, result.height) == size
    numbers = (result.sharpness, result.brightness, result.contrast, result.entropy)
    assert np.isfinite(numbers).all()


def test_tones_are_those_of_the_picture():
    """Brightness is the mean, contrast the deviation, entropy the bits: known for a half black picture."""
    image = Image.new("L", (64, 64), 0)
    image.paste(200, (0, 0, 32, 64))
    result = measured(encoded(image, "PNG"))
    assert (result.brightness, result.contrast, result.entropy) == (100.0, 100.0, 1.0)


@pytest.mark.parametrize("size", [(3, 3), (3, 70), (70, 3), (127, 64)])
def test_sharpness_is_the_variance_of_the_laplacian(size):
    """Of all pixels that have four neighbours, and of no others."""
    image = photo(6).resize(size).convert("L")
    pixels = np.asarray(image).astype(int)
    across = np.diff(pixels, 2, axis=1)[1:-1]
    down = np.diff(pixels, 2, axis=0)[:, 1:-1]
    assert measured(encoded(image, "PNG")).sharpness == pytest.approx(np.var(across + down), abs=1e-9)


def test_flat_has_no_contrast():
    """One colour has contrast, entropy and sharpness 0, exactly."""
    result = measured(encoded(flat((90, 90, 90)), "PNG"))
    assert (result.contrast, result.entropy, result.sharpness) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("size", [(320, 240), (960, 720)])
def test_blur_lowers_sharpness(size):
    """A blurred copy is measured as less sharp, by far, at any size."""
    image = photo(6, *size)
    blurred = image.filter(ImageFilter.GaussianBlur(size[0] / 64))
    assert measured(encoded(blurred, "PNG")).sharpness < measured(encoded(image, "PNG")).sharpness / 4


def test_a_batch_is_its_images():
    """A batch gives, in order, what each image gives alone, refusals in their places."""
    bodies = [jpeg(1), b"<html>", jpeg(2)[:500], encoded(flat(), "PNG"), memoryview(jpeg(3)), b""]
    begun = []
    results = measure_batch(bodies, begun.append, DEFAULT)
    assert results == [measure(body, DEFAULT) for body in bodies]
    assert begun == list(range(6))
    reasons = [result.reason for result in results if isinstance(result, Unmeasured)]
    assert reasons == [Reason.NOT_AN_IMAGE, Reason.UNDECODABLE, Reason.NOT_AN_IMAGE]


def test_begin_comes_before_the_image_is_touched():
    """What `begin` raises for image i leaves image i unread: it is told first."""

    class Untouchable:
        def __getattr__(self, name):
            pytest.fail("touched before begin")

    def stop(index):
        if index == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_batch([jpeg(1), Untouchable()], stop, DEFAULT)


def test_nothing_measured():
    """An empty batch and one of refusals only have no hashes to compute."""
    assert measure_batch([], lambda index: None, DEFAULT) == []
    assert isinstance(measure(b"", DEFAULT), Unmeasured)


def test_the_pixel_cap_is_a_setting():
    """`max_pixels` decides by the header."""
    result = measure(jpeg(1, 320, 240), MeasureSettings(max_pixels=320 * 240 - 1))
    assert result == Unmeasured(Reason.TOO_MANY_PIXELS, result.detail)


def test_a_worker_stays_small():
    """Measuring imports none of what a worker has no use for."""
    program = (
        "import sys; from curator.measure import *\n"
        "measure(sys.stdin.buffer.read(), MeasureSettings())\n"
        "sys.exit(', '.join({'scipy', 'pywt', 'imagehash', 'pyarrow', 'aiohttp'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=jpeg(1), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
