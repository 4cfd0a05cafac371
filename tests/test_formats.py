"""What the first bytes tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.formats import ALLOWED, HEAD_BYTES, printable, refuse
from curator.reasons import Reason
from tests.pictures import encoded, photo


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO"])
def test_formats_we_take(format_):
    """Every format on the allow-list passes by the first bytes that Pillow writes."""
    head = encoded(photo(0, 32, 32), format_)[:HEAD_BYTES]
    assert refuse(head) is None
    assert format_ in (*ALLOWED, "MPO")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "heic"),
        (b"8BPS\0\1", "psd"),
        (b"\0\0\1\0\1\0", "ico"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
        (b"\xff\x0a\xfa", "jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "eps"),
        (b"<svg xmlns='http://www.w3.org'", "svg"),
        (b"\xef\xbb\xbf\n <SVG width=", "svg"),
        (b"<?xml version='1.0'?><svg xmlns=", "svg"),
        (b"II*\0\x10\0\0\0CR\x02\0", "cr2"),
        (b"P6\n640 480\n255\n", "pnm"),
    ],
)
def test_image_formats_we_do_not_take(head, name):
    """An image format outside the allow-list is named, so that people see what they miss."""
    assert refuse(head) == (Reason.UNSUPPORTED_FORMAT, name)


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>\r\n<html>", "text/html: <!DOCTYPE html> <html>"),
        (b"\n\n<html><head><title>", "text/html: <html><head><title>"),
        (b'{"error": "no"}', 'application/json: {"error": "no"}'),
        (b"<?xml version='1.0'?><Error>", "text/xml: <?xml version='1.0'?><Error>"),
        (b"Not Found", "text/plain: Not Found"),
        (b"BMW is a car maker", "text/plain: BMW is a car maker"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "unknown: 52 49 46 46 24 00 00 00"),
        (b"%PDF-1.7\n%\xe2", "application/pdf"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "video/mp4"),
    ],
)
def test_what_is_no_image(head, detail):
    """What is no image is described well enough to see what the server sent."""
    assert refuse(head) == (Reason.NOT_AN_IMAGE, detail)


@given(st.binary(max_size=64))
def test_any_bytes_get_a_printable_answer(head):
    """No bytes crash the sniffer, and what it says about them fits on one line."""
    refusal = refuse(head)
    assert refusal is None or (refusal[1] and refusal[1].isprintable())


@given(st.text(), st.integers(0, 50))
def test_printable_is_one_short_line(text, limit):
    """`printable` never gives more than its limit, a control character or a line break."""
    line = printable(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
