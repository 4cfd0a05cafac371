"""What an answer's headers say about use for training: X-Robots-Tag and tdm-reservation. Pure.

`X-Robots-Tag: [agent:] rule, [[agent:] rule, ...]`, as often as one likes. A rule is for the agent named
before it in the same header, else for everybody. Some rules have a value behind a colon, a date with a
comma among them, and those are no agents: an agent is one word that begins with a letter. `noindex: true` is
no rule by the book and is meant like one, and so are quotes: who writes them wants to be left alone.

Sources: Google's robots meta tag and X-Robots-Tag specification (which has the grammar by example only),
the W3C community group's TDM Reservation Protocol, section 6.
"""

import re
from collections.abc import Iterable, Iterator

from crawler.robots import product
from curator.reasons import Reason

TAG, RESERVATION = "X-Robots-Tag", "tdm-reservation"
_OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none", "noml"})
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview", "rating"})
_QUOTES = str.maketrans("\"'", "  ")
_AGENT = re.compile(r"\s*([a-z*][^\s:]*)\s*:(.*)", re.IGNORECASE | re.DOTALL)


def opted_out(tags: Iterable[str], reservations: Iterable[str], token: str) -> tuple[Reason, str] | None:
    """The Reason and the header that keeps the crawler called `token` off, or None.

    `tags`: values of X-Robots-Tag headers; `reservations`: of tdm-reservation headers.
    """
    for tag in tags:
        if any(agent in ("*", token) and rule in _OPT_OUTS for agent, rule in _rules(tag)):
            return Reason.X_ROBOTS_TAG, f"{TAG}: {tag}"
    for value in reservations:
        if "1" in (one.strip() for one in value.translate(_QUOTES).split(",")):
            return Reason.TDM_RESERVATION, f"{RESERVATION}: {value}"
    return None


def _rules(tag: str) -> Iterator[tuple[str, str]]:
    """Yield (agent, rule), both in lower case."""
    agent = "*"
    for part in re.split("[,;]", tag.translate(_QUOTES).lower()):
        rest = part
        if (named := _AGENT.match(part)) and named[1] not in _VALUED | _OPT_OUTS:
            agent, rest = product(named[1]), named[2]
        words = rest.replace(":", " ").split()
        # "max-image-preview: none" forbids nothing that we do, nor does "noindex: false"
        if words and words[0] not in _VALUED and words[1:] != ["false"]:
            yield from ((agent, word) for word in words)
