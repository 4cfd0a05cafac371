"""What an answer's headers say about use for training: X-Robots-Tag and tdm-reservation. Pure.

`X-Robots-Tag: [agent:] rule, [[agent:] rule, ...]`, as often as one likes. A rule is for the agent named
before it in the same header, else for everybody. Three rules have a value behind a colon, a date with a
comma among them, and those are no agents: an agent is one word that begins with a letter.

Sources: Google's robots meta tag and X-Robots-Tag specification (which has the grammar by example only),
the W3C community group's TDM Reservation Protocol, section 6.
"""

import re
from collections.abc import Iterable, Iterator

from crawler.robots import product
from curator.reasons import Reason

TAG, RESERVATION = "X-Robots-Tag", "tdm-reservation"
_OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none", "noml"})
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_AGENT = re.compile(r"\s*([a-z*][^\s:]*)\s*:(.*)", re.IGNORECASE | re.DOTALL)


def opted_out(tags: Iterable[str], reservations: Iterable[str], token: str) -> tuple[Reason, str] | None:
    """The Reason and the header that keeps the crawler called `token` off, or None.

    `tags`: values of X-Robots-Tag headers; `reservations`: of tdm-reservation headers.
    """
    for tag in tags:
        if any(agent in ("*", token) and rule in _OPT_OUTS for agent, rule in _rules(tag)):
            return Reason.X_ROBOTS_TAG, f"{TAG}: {tag}"
    for value in reservations:
        if "1" in (one.strip() for one in value.split(",")):
            return Reason.TDM_RESERVATION, f"{RESERVATION}: {value}"
    return None


def _rules(tag: str) -> Iterator[tuple[str, str]]:
    """Yield (agent, rule), both in lower case."""
    agent = "*"
    for part in re.split("[,;]", tag):
        rest = part
        if (named := _AGENT.match(part)) and named[1].lower() not in _VALUED:
            agent, rest = product(named[1]), named[2]
        words = rest.lower().split()
        # "max-image-preview: none" forbids nothing that we do
        if words and words[0].partition(":")[0] not in _VALUED:
            yield from ((agent, word) for word in words)
