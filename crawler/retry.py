"""When to try a URL again: pure numbers, no clock and no dice of its own."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from curator.reasons import TRANSIENT, Reason


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long between. Seconds."""

    attempts: int = 3  # in one run, the first one included
    base: float = 2.0  # before the second attempt; doubles with each
    cap: float = 300.0  # the longest wait of our own making
    max_wait: float = 600.0  # the longest that a server's Retry-After is obeyed


def next_delay(
    reason: Reason, tries: int, retry_after: float | None, policy: RetryPolicy, roll: float
) -> float | None:
    """Seconds until the next attempt after `tries` failed ones, or None when this verdict stands.

    Only transient Reasons are tried again. `roll` in [0, 1) spreads the waits by half either way, so that
    what failed together does not come back together. A longer `retry_after` wins, up to `max_wait`.
    """
    if reason not in TRANSIENT or tries >= policy.attempts:
        return None
    # 2.0 ** 1024 overflows; no cap is anywhere near 2 ** 64 bases
    backoff = min(policy.cap, policy.base * 2.0 ** min(tries - 1, 64) * (0.5 + roll))
    return max(backoff, min(retry_after or 0.0, policy.max_wait))


def parse_retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, from seconds or an HTTP date; None when it says nothing.

    `now` is in seconds since the epoch. A date gone by is 0. Uncapped: `next_delay` knows the cap.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        # "-0000" means UTC with no place given and parses as naive
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None
