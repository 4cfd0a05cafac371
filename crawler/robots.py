"""What a site's robots.txt says to us (RFC 9309). Pure: an answer comes in, rules come out.

Which lines are ours is read here, since one crawler has one name: the groups that name our product token,
whole and in any case, taken together; without one, those for "*". Only their rules are kept, as a few
hundred bytes of text, so that the rules of many thousand origins fit into memory.

Protego judges with them (percent-escapes, wildcards, the longest match wins). What it makes of a text takes
ten times the room and a tenth of a millisecond, so only the texts in use are kept like that, and origins
whose texts are the same share one. A question costs 1 to 10 us, with 1,000 plain rules 15 us, with 1,000
wildcards half a millisecond.

What is no rule to us: Sitemap, Host and the unknown do not even end a group; Request-rate and Visit-time do.
"""

import re
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from protego import Protego

MAX_BYTES = 500 << 10  # of a robots.txt that are read: what RFC 9309 2.5 wants at least
_LIVE_RULES = 100_000  # that Protego holds at a time: 30 to 70 MB, if it ever comes to that
_BASE = 20  # rules that would take as much memory as a Protego with none

# with the misspellings that Protego forgives
_LINE = re.compile(
    r"(user[ -]?agent|allow|d[is]+al+[oa]w|diasllow|crawl[ -]delay|request[ -]rate|visit[ -]time)"
    r"(?:\s*:|\s|\Z)\s*(.*)",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[^\s/;,()]+")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?|\.[0-9]{1,9}")
_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules of one origin for us."""

    rules: str = ""  # "Disallow: /a" and "Allow: /b", a line each; "" when nothing is forbidden
    agent: str = "*"  # the name that their group has
    gap: float = 0.0  # seconds between two requests that it asks for with Crawl-delay


ALLOWED = Robots()


@dataclass(slots=True)
class RobotsCounts:
    """Requests for robots.txt of this process. Links that wait for the same one are one request.

    One that found no connection was never sent, and is not counted once it has ended.
    """

    asked: int = 0
    failed: int = 0  # of those that have ended, the ones that nothing came of
    under_way: int = 0


def product(user_agent: str) -> str:
    """The product token of a User-Agent, or of a line that names one: lower case, without its version.

    "*" stays; "" where there is none.
    """
    found = _TOKEN.match(user_agent.strip())
    name = found[0].lower() if found else ""
    return name if name == "*" else name.replace("*", "")


def read(status: int, body: bytes, token: str) -> Robots | None:
    """What an answer says to the crawler called `token`; None: the site cannot say (RFC 9309 2.3.1.4).

    2xx is read, whatever it holds. Any 4xx means that there are no rules, 401 and 403 too, and so does a
    redirect that led nowhere. 429 is no such answer: it tells us to come back later.
    """
    if 200 <= status < 300:
        return parse(_text(body), token)
    return ALLOWED if 300 <= status < 500 and status != 429 else None


def parse(text: str, token: str) -> Robots:
    """The rules in `text` for the crawler called `token` (as `product` gives it)."""
    groups: dict[str, list[tuple[str, str]]] = {}
    agents: set[str] = set()
    naming = False
    for kind, value in _lines(text):
        if kind[0] == "u":
            if not naming:
                agents = set()
            naming = True
            if (name := product(value)) in (token, "*"):
                agents.add(name)
                groups.setdefault(name, [])
        else:
            naming = False
            for name in agents:
                groups[name].append((kind, value))
    agent = token if token in groups else "*"
    return _robots(agent, groups.get(agent, []))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _LINE.match(line.partition("#")[0].strip()):
            yield found[1].lower(), found[2]


def _robots(agent: str, lines: list[tuple[str, str]]) -> Robots:
    rules, gap, forbids = [], 0.0, False
    for kind, value in lines:
        if kind[0] == "c" and (seconds := _SECONDS.match(value)):
            gap = max(gap, float(seconds[0]))
        elif value and kind[0] in "ad":
            forbids = forbids or kind[0] == "d"
            rules.append(f"{'Allow' if kind[0] == 'a' else 'Disallow'}: {value}")
    return Robots("\n".join(rules) if forbids else "", agent, gap)


def _text(body: bytes) -> str:
    if body.startswith(_GZIP):  # some servers compress whatever was asked for
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, MAX_BYTES)
        except zlib.error:
            return ""
    # a mark of the byte order would hide the first line; one of UTF-16 tells what all of it is
    encoding = "utf-16" if body.startswith(_UTF_16) else "utf-8-sig"
    return body.decode(encoding, "replace")


class Matchers:
    """Asks Protego, and keeps for each text of rules what it made of it: the texts used last."""

    def __init__(self, live_rules: int = _LIVE_RULES) -> None:
        """Keep at most `live_rules` rules, one text always."""
        self._live_rules = live_rules
        self._kept: OrderedDict[str, tuple[Protego, int]] = OrderedDict()
        self._weight = 0

    def refusal(self, robots: Robots, url: str) -> str | None:
        """The rule that forbids `url`, for people; None when it may be fetched."""
        if not robots.rules or self._matcher(robots.rules).can_fetch(url, "*"):
            return None
        return f"{_spoke(robots.rules, url)} (User-agent: {robots.agent})"

    def _matcher(self, rules: str) -> Protego:
        found = self._kept.get(rules)
        if found is not None:
            self._kept.move_to_end(rules)
            return found[0]
        matcher = Protego.parse(f"User-agent: *\n{rules}")
        weight = _BASE + rules.count("\n")
        self._kept[rules] = matcher, weight
        self._weight += weight
        while self._weight > self._live_rules and len(self._kept) > 1:
            self._weight -= self._kept.popitem(last=False)[1][1]
        return matcher


def _spoke(rules: str, url: str) -> str:
    """Which rule forbids `url`, known to be forbidden: Protego does not tell. The longest that fits it."""
    parts = urlsplit(url)
    path = unquote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
    fitting = (
        rule for rule in rules.split("\n") if rule[0] == "D" and _fits(unquote(rule.partition(" ")[2]), path)
    )
    return max(fitting, key=len, default="one of its rules")


def _fits(pattern: str, path: str) -> bool:
    """Whether a path begins as `pattern` says: "*" is anything, a final "$" the end."""
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    for part in others:
        at = path.find(part, at)
        if at < 0:
            return False
        at += len(part)
    if not pattern.endswith("$"):
        return True
    return path.endswith(others[-1]) if others else at == len(path)
