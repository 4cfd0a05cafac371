"""What a robots.txt says to us: groups, rules, junk, and which rule spoke."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.robots import ALLOWED, MAX_BYTES, Matchers, Robots, parse, product, read

TOKEN = "crawl-curate"
SITE = "http://a.example"


def refusal(text, path):
    """The rule of `text` that forbids a path, or None."""
    return Matchers().refusal(parse(text, TOKEN), SITE + path)


@pytest.mark.parametrize(
    ("user_agent", "token"),
    [
        ("crawl-curate/0.1 (image dataset crawler)", "crawl-curate"),
        ("Crawl-Curate", "crawl-curate"),
        (" MyBot2 ", "mybot2"),
        ("crawl*", "crawl"),
        ("*", "*"),
        ("(nobody)", ""),
        ("", ""),
    ],
)
def test_a_product_token_is_the_first_name(user_agent, token):
    """Without its version, in lower case."""
    assert product(user_agent) == token


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        pytest.param("", False, id="nothing"),
        pytest.param("User-agent: *\nDisallow: /", True, id="everybody"),
        pytest.param("User-agent: *\nDisallow:", False, id="everybody, nothing"),
        pytest.param("User-agent: other\nDisallow: /", False, id="somebody else"),
        pytest.param("User-agent: crawl-curate\nDisallow: /", True, id="us"),
        pytest.param("user-AGENT: Crawl-CURATE\ndisallow: /", True, id="us in any case"),
        pytest.param("User-agent: crawl-curate/0.1\nDisallow: /", True, id="us with a version"),
        pytest.param("User-agent: crawl\nDisallow: /", False, id="a part of our name"),
        pytest.param("User-agent: curate\nDisallow: /", False, id="another part"),
        pytest.param(
            "User-agent: *\nDisallow: /\n\nUser-agent: crawl-curate\nDisallow:", False, id="we may, others not"
        ),
        pytest.param(
            "User-agent: crawl-curate\nDisallow: /p\n\nUser-agent: *\nDisallow: /", False, id="ours goes first"
        ),
        pytest.param(
            "User-agent: crawl-curate\nDisallow: /a\nUser-agent: x\nDisallow: /b\n"
            "User-agent: crawl-curate\nDisallow: /images",
            True,
            id="our groups are one",
        ),
        pytest.param("User-agent: x\nUser-agent: *\nDisallow: /", True, id="several names"),
        pytest.param(
            "User-agent: x\nSitemap: http://a/s\nFoo: bar\nUser-agent: *\nDisallow: /", True, id="not a rule"
        ),
        pytest.param("User-agent: *\nCrawl-delay: 3\nUser-agent: x\nDisallow: /", False, id="a rule of its own"),
        pytest.param("Disallow: /", False, id="of no group"),
        pytest.param("User-agent: *\rDisallow: /\r", True, id="CR"),
        pytest.param("User-agent: *\r\n\r\nDisallow: /\r\n", True, id="CRLF and an empty line"),
        pytest.param("User-agent:*#all\nDisallow:/#all", True, id="comments, no spaces"),
        pytest.param("User-agent *\nDisallow /", True, id="no colons"),
        pytest.param("useragent : *\ndissalow : /", True, id="misspelt"),
        pytest.param("User-agent: *\nDisallow: /\nAllow: /images/", False, id="the longer match"),
        pytest.param("User-agent: *\nDisallow: /images\nAllow: /", True, id="the longer match forbids"),
        pytest.param("User-agent: *\nDisallow: /images/\nAllow: /images/", False, id="allowed when equal"),
        pytest.param("User-agent: *\nDisallow: /*.jpg$", True, id="wildcards"),
        pytest.param("User-agent: *\nDisallow: /*.jp$", False, id="the end"),
        pytest.param("User-agent: *\nDisallow: /%69mages", True, id="escapes"),
        pytest.param("<html><body>User-agent: * Disallow: /</body></html>", False, id="a web page"),
    ],
)  # fmt: skip
def test_which_rules_are_ours(text, forbidden):
    """Our group if there is one, else the one for everybody; in it the longest match."""
    assert bool(refusal(text, "/images/1.jpg")) is forbidden


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        (
            "User-agent: *\nDisallow: /p\nDisallow: /private/",
            "/private/1",
            "Disallow: /private/ (User-agent: *)",
        ),
        ("User-agent: *\nDisallow: /\nDisallow: /*.png$", "/a.png", "Disallow: /*.png$ (User-agent: *)"),
        ("User-agent: *\nDisallow: /*.png$", "/a.png?b.png", "Disallow: /*.png$ (User-agent: *)"),
        ("User-agent: *\nDisallow: /a$\nDisallow: /", "/a", "Disallow: /a$ (User-agent: *)"),
        (
            "User-agent: *\nDisallow: /*?*sig=\nDisallow: /x",
            "/a?b&sig=1",
            "Disallow: /*?*sig= (User-agent: *)",
        ),
        ("User-agent: *\nDisallow: /caf%C3%A9", "/caf\u00e9/1", "Disallow: /caf%C3%A9 (User-agent: *)"),
        ("User-agent: Crawl-Curate/2\nDisallow: /", "", "Disallow: / (User-agent: crawl-curate)"),
    ],
)
def test_the_rule_that_spoke_is_named(text, path, told):
    """The longest that fits, with the group it stands in."""
    assert refusal(text, path) == told


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, "rules"), (203, "rules"), (204, "rules"),
        (301, "allowed"), (304, "allowed"), (400, "allowed"), (401, "allowed"), (403, "allowed"),
        (404, "allowed"), (410, "allowed"), (418, "allowed"), (451, "allowed"),
        (429, "unreachable"), (500, "unreachable"), (503, "unreachable"), (599, "unreachable"),
        (999, "unreachable"), (199, "unreachable"),
    ],
)  # fmt: skip
def test_what_a_status_means(status, meaning):
    """A file is read; that there is none, or none for us, allows everything; anything else tells nothing."""
    found = read(status, b"User-agent: *\nDisallow: /", TOKEN)
    assert found == {"rules": Robots("Disallow: /"), "allowed": ALLOWED, "unreachable": None}[meaning]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xef\xbb\xbfUser-agent: *\nDisallow: /", id="with a byte order mark"),
        pytest.param(
            b"\xfe\x00junk\nUser-agent: *\nDisallow: /\n\x80\x81", id="with bytes that are no UTF-8"
        ),
        pytest.param("\ufeffUser-agent: *\nDisallow: /".encode("utf-16-le"), id="in UTF-16"),
        pytest.param("\ufeffUser-agent: *\nDisallow: /".encode("utf-16-be"), id="the other way round"),
        pytest.param(gzip.compress(b"User-agent: *\nDisallow: /"), id="compressed though nobody asked"),
        pytest.param(gzip.compress(b"User-agent: *\nDisallow: /\n" + b"#" * (50 << 20)), id="a bomb"),
    ],
)
def test_odd_bytes_hide_no_rule(body):
    """What is a robots.txt to its owner is one to us."""
    assert read(200, body, TOKEN) == Robots("Disallow: /")


@pytest.mark.parametrize(
    ("lines", "gap"),
    [
        ("Crawl-delay: 10", 10.0), ("crawl-delay:0.5", 0.5), ("Crawl-delay: 2s", 2.0),
        ("Crawl-delay: soon", 0.0), ("Crawl-delay: -1", 0.0), ("Crawl-delay: 1e999", 1.0), ("", 0.0),
        ("Crawl-delay: nan", 0.0),
    ],
)  # fmt: skip
def test_a_crawl_delay_is_read(lines, gap):
    """In seconds; what is no number is none."""
    assert parse(f"User-agent: *\n{lines}\nDisallow: /a", TOKEN).gap == gap


PIECES = st.sampled_from(
    [
        "User-agent:",
        "Disallow:",
        "Allow:",
        "Crawl-delay:",
        "*",
        "$",
        "/",
        "crawl-curate",
        "%",
        "%zz",
        "#",
        "\n",
    ]
)


@settings(max_examples=50)
@given(st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=40), st.text(max_size=20))
def test_no_text_is_too_odd(pieces, path):
    """Whatever a site writes, there is an answer for every URL that can be sent, and a name for a refusal."""
    text = " ".join(pieces)
    robots = read(200, text.encode("utf-8", "replace"), TOKEN)
    quoted = "".join(c if 33 <= ord(c) < 127 and c != "#" else "%20" for c in path)
    told = Matchers().refusal(robots, f"{SITE}/{quoted}")
    assert told is None or told.startswith("Disallow: ")


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(body):
    """Neither text nor gzip has to be sound."""
    assert read(200, body, TOKEN) is not None
    assert read(200, b"\x1f\x8b" + body, TOKEN) is not None


def test_few_matchers_are_kept_and_judge_alike():
    """What was put aside to make room is made again when it is needed."""
    matchers = Matchers(live_rules=50)
    texts = [parse(f"User-agent: *\nDisallow: /{n}/", TOKEN) for n in range(20)]
    for _ in range(2):
        for n, robots in enumerate(texts):
            assert matchers.refusal(robots, f"{SITE}/{n}/a")
            assert matchers.refusal(robots, f"{SITE}/x/a") is None


def test_a_file_at_the_limit_is_read_whole():
    """The last rule of 500 KiB counts."""
    rules = "User-agent: *\n" + "Disallow: /somewhere/else\n" * 30_000
    body = rules[: MAX_BYTES - 20].rpartition("\n")[0] + "\nDisallow: /last\n"
    assert Matchers().refusal(read(200, body.encode(), TOKEN), f"{SITE}/last")
