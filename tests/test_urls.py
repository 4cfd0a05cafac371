"""URLs: what is sent, what is refused, whom it counts against."""

from ipaddress import IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.urls import BadUrl, host_of, join, prepare

AS_LISTED = [
    "http://example.com/a.jpg",
    'https://cdn.example.com/a%2Fb/../c.jpg?sig=a%2bB%2B/+=&x=%zz&y={|}^`"<>\\',
    "http://example.com:8080/a;b=c//d",
    "http://under_score.example.com/%E4",
    "http://xn--bcher-kva.example/x?a?b",
    "http://[2606:4700::1111]/a",
    "http://8.8.8.8:443/a",
]
CHANGED = {
    "HTTP://example.com/a": "http://example.com/a",
    "http://example.com/a#part?no": "http://example.com/a",
    "http://example.com:80/a": "http://example.com/a",
    "http://example.com?a=1": "http://example.com/?a=1",
    "http://example.com/a b%20c/\u00e9.jpg?q=\u00fc": "http://example.com/a%20b%20c/%C3%A9.jpg?q=%C3%BC",
    "http://b\u00fccher.example/%C3%A9": "http://xn--bcher-kva.example/%C3%A9",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/": "http://127.0.0.1/",
    "http://2130706433/": "http://127.0.0.1/",
    "http://0x7f.1:8080/a": "http://127.0.0.1:8080/a",
    "http://127.0.0.1./": "http://127.0.0.1/",
    "http://[0:0::1]/": "http://[::1]/",
    "http://example.com/\udce9": "http://example.com/%E9",
}
BAD = [
    "",
    "example.com/a.jpg",
    "//example.com/a",
    "ftp://example.com/a",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "http:example.com",
    "http:///a",
    "http://",
    "http://?a",
    "http://:80/",
    "http://user@example.com/",
    "http://user:secret@example.com/",
    "http://example.com\\@evil.example/",
    "http://example.com:22/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:99999999999999999999/",
    "http://example.com:8o/",
    "http://example.com:80:80/",
    "http://example.com/\n",
    "http://example.com/a\tb",
    "http://example.com/\x7f",
    "http://example.com/\u0085",
    "http://example.com/\ud800",
    "http://exa mple.com/",
    "http://a..b/",
    "http://.example.com/",
    "http://-example.com/",
    "http://example.com../",
    f"http://{'a' * 64}.example/",
    f"http://{'a.' * 127}example/",
    "http://\u00e9\ud800.example/",
    "http://a\u2100b.example/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]x/",
    "http://[example.com]/",
    "http://[127.0.0.1]/",
    "http://[v1.a:b]/",
    "http://1.2.3.4.5/",
    "http://256.1.1.1/",
    "http://08.1.1.1/",
    "http://example.123/",
]


@pytest.mark.parametrize("url", AS_LISTED)
def test_plain_urls_are_sent_as_listed(url):
    """Printable ASCII without spaces is never tidied, so signatures survive."""
    assert prepare(url).url == url


@pytest.mark.parametrize(("url", "sent"), CHANGED.items())
def test_only_what_is_illegal_is_changed(url, sent):
    """Fragments stay here, hosts become ASCII, addresses canonical, illegal bytes percent-encoded."""
    assert prepare(url).url == sent


def test_no_path_is_the_root():
    """What stands on the request line begins with a slash."""
    assert prepare("http://example.com").path == "/"


@pytest.mark.parametrize("url", BAD)
def test_bad_urls_are_refused(url):
    """Whatever is not a plain public http URL is BadUrl, and counts against no host."""
    with pytest.raises(BadUrl):
        prepare(url)
    assert host_of(url) == ""


def test_a_target_tells_its_parts():
    """Host in lower case without brackets or trailing dot, the real port, the address if it is one."""
    named = prepare("https://Example.COM./a")
    assert (named.scheme, named.host, named.port, named.address) == ("https", "example.com", 443, None)
    assert prepare("http://[::1]:8080/").origin == ("http", "::1", 8080)
    assert prepare("http://[::1]:8080/").address == IPv6Address("::1")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Example.com/a", "example.com"),
        ("https://example.com.:8443?x", "example.com"),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example"),
        ("http://example.com/ \u00e9", "example.com"),
        ("http://0x7f000001/", "127.0.0.1"),
    ],
)
def test_one_host_has_one_key(url, host):
    """Case, port, trailing dot and spelling do not make another host."""
    assert host_of(url) == host


URL_TEXT = st.builds(
    "{}{}{}".format,
    st.sampled_from(["http://", "HTTPS://", "http:/", ""]),
    st.text(st.sampled_from("aZ09.-_:@[]x\u00fc\uff11%"), max_size=12),
    st.one_of(st.just(""), st.text(max_size=12).map("/{}".format), st.text(max_size=6)),
)


@given(st.one_of(URL_TEXT, st.text()))
@example("http://a\n")
@example("http://a.0x1/")
def test_every_text_is_a_target_or_a_bad_url(url):
    """No text at all raises anything but BadUrl; what is sent is ASCII; `host_of` agrees with `prepare`."""
    try:
        target = prepare(url)
    except BadUrl:
        assert host_of(url) == ""
        return
    assert target.url.isascii()
    assert target.netloc
    assert host_of(url) == target.host
    assert prepare(target.url) == target


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b.jpg", "http://example.com/b.jpg"),
        ("b.jpg?x=1", "http://example.com/folder/b.jpg?x=1"),
        ("../b c.jpg", "http://example.com/b c.jpg"),
        ("?x", "http://example.com/folder/a.jpg?x"),
        ("//other.example/b", "http://other.example/b"),
        (" https://other.example/a/../b?sig=%2b ", "https://other.example/a/../b?sig=%2b"),
        ("/\u00e9", "http://example.com/\u00e9"),
        ("ftp://other.example/", "ftp://other.example/"),
    ],
)
def test_redirects_lead_where_they_say(location, leads_to):
    """Relative ones are resolved, absolute ones left alone; `prepare` judges the result."""
    assert join("http://example.com/folder/a.jpg", location) == leads_to


@pytest.mark.parametrize("location", [None, "", "  ", "/a\x00b", "//[::1"])
def test_redirects_to_nowhere_are_bad(location):
    """No Location, or one that makes no sense, is BadUrl."""
    with pytest.raises(BadUrl):
        join("http://example.com/", location)
