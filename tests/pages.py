"""What the site serves: answers with faults, and numbered pages that need no telling.

`/n/<number>.jpg` is `image_bytes(number)`, except that `behaviour(number)` makes a fixed share fail, some
only at first.
"""

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image

FAULTS = (
    "",
    "silence",  # takes the request and never answers
    "reset",  # breaks the connection without an answer
    "reset_head",  # ... in the middle of the headers
    "reset_body",  # ... in the middle of the body
    "truncated",  # closes in the middle of the body
    "stall",  # falls silent in the middle of the body
    "trickle",  # sends 16 pieces, `pause` seconds apart
    "late",  # sends one half, and the other `pause` seconds later
    "chunked",  # sound, without Content-Length, in 8 chunks
    "chunked_truncated",
    "chunked_garbage",  # breaks the framing `pause` seconds after a sound chunk
    "unframed",  # neither Content-Length nor chunks: the end of the connection is the end of the body
    "reset_unframed",
    "garbage",  # no HTTP at all
    "huge_header",
    "closes",  # sound, then closes the kept connection without having said so
)


# What the numbered pages do, by their last two digits; all others are images.
BEHAVIOUR = {
    3: "404",
    13: "403",
    23: "410",
    33: "html",  # status 200, Content-Type image/jpeg
    43: "redirect",  # to the same picture elsewhere
    53: "503 once",
    63: "truncated once",
    73: "429 once",  # with Retry-After: 0
    83: "500",
    93: "reset once",
}
OUTCOME = {"404": "http_404", "403": "http_403", "410": "http_410", "html": "not_an_image", "500": "http_5xx"}
HTML = b"<!DOCTYPE html><html><title>Not found</title>gone</html>"


def behaviour(number: int) -> str:
    """What the page of that number does: "" serves its image, else a value of BEHAVIOUR."""
    return BEHAVIOUR.get(number % 100, "")


def outcome(number: int) -> str:
    """The Reason that a crawl with three attempts ends with for that page (and no dedup)."""
    return OUTCOME.get(behaviour(number), "saved")


def image_bytes(number: int) -> bytes:
    """A small JPEG that decodes; the same for a number always, different bytes for each number.

    64 pictures of their own, told apart beyond that by a comment segment.
    """
    jpeg, comment = _picture(number % 64), b"picture %d" % number
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


@lru_cache(maxsize=64)
def _picture(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    file = BytesIO()
    size = (int(random.integers(96, 257)), int(random.integers(96, 257)))
    coarse.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the site. A header given here replaces the one that would be sent."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""
    pause: float = 0.05


def numbered(number: int, times: int) -> Answer:
    """What the page of that number answers the `times`-th time (from 1) it is asked."""
    match behaviour(number):
        case "404" | "403" | "410" | "500" as status:
            return Answer(HTML, int(status), {"Content-Type": "text/html"})
        case "html":
            return Answer(HTML)
        case "redirect":
            return Answer(b"", 302, {"Location": f"/moved/{number}.jpg"})
        case "503 once" if times == 1:
            return Answer(b"", 503)
        case "429 once" if times == 1:
            return Answer(b"", 429, {"Retry-After": "0"})
        case "truncated once" if times == 1:
            return Answer(image_bytes(number), fault="truncated")
        # aiohttp repeats a request once by itself when a connection breaks before the answer
        case "reset once" if times <= 2:
            return Answer(fault="reset")
        case _:
            return Answer(image_bytes(number))
