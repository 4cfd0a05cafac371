"""What the ledger is told of a link: its verdict, or when it is tried again."""

from typing import Any

from crawler.records import Failed, Fetched, Link
from curator.dataset.records import Image, Postponed, Verdict
from curator.reasons import Reason
from curator.records import Measures, Remade, Undecoded


def saved(fetched: Fetched, measures: Measures | Undecoded, remade: Remade | None) -> Verdict:
    """An image to be saved, as it came or as it was made anew."""
    image = Image(
        body=fetched.body if remade is None else (remade.body,),
        size=fetched.size if remade is None else remade.stored.bytes,
        measures=measures,
        stored=None if remade is None else remade.stored,
        final_url=fetched.final_url,
        http_status=fetched.http_status,
        content_type=fetched.content_type,
        etag=fetched.etag,
        last_modified=fetched.last_modified,
        fetched_at=fetched.fetched_at,
    )
    return answered(fetched, Reason.SAVED, image=image)


def answered(answer: Fetched | Failed, reason: Reason, **facts: Any) -> Verdict:
    """The end of a link after an attempt; `facts` are fields of Verdict."""
    link = answer.link
    # where no redirect led away the ledger need not say the URL twice
    elsewhere = answer.final_url if answer.final_url != link.url else ""
    charged = link.attempts + 1, link.tries + 1
    return Verdict(
        link.uid, link.row, reason, *charged, http_status=answer.http_status, final_url=elsewhere, **facts
    )


def host_down(link: Link, cause: str) -> Verdict:
    """The end of a link, since the host that it is at, listed or led to by a redirect, does not answer.

    `cause`: what an attempt at that host failed of.
    """
    charged = link.way is not None  # its listed host was asked
    elsewhere = link.asked if charged else ""
    attempts, tries = link.attempts + charged, link.tries + charged
    detail = f"{link.host}: {cause}" if charged and cause else cause
    return Verdict(link.uid, link.row, Reason.HOST_DOWN, attempts, tries, final_url=elsewhere, detail=detail)


def postponed(link: Link, due: float, *, charged: int) -> Postponed:
    """A link that comes again at `due` (epoch seconds), with `charged` attempts more."""
    return Postponed(link.uid, link.row, due, link.attempts + charged, link.tries + charged)
