"""When a crawl only collects failures: the share of the last verdicts that may pass another time.

A host that is given up ends thousands of links at once without a request, and that says nothing of the
others: of one host no more than a hundredth of the window is such verdicts.
"""

from collections import Counter, deque

from curator.reasons import TRANSIENT, Reason

WINDOW = 2_000  # verdicts
_OF_ONE_HOST = 100  # that part of the window


class FailureShare:
    """Watches the verdicts of one run."""

    def __init__(self, share: float, window: int = WINDOW) -> None:
        """`share`, 0 to 1, is too much; 0: nothing is."""
        self._most = share * window if share else window + 1.0
        self._window, self._of_one_host = window, max(1, window // _OF_ONE_HOST)
        self._last: deque[tuple[bool, str]] = deque()  # a failure, and which host was given up, if one was
        self._given_up: Counter[str] = Counter()
        self._failures = 0

    def add(self, reason: Reason, host: str) -> bool:
        """Note a verdict on a link of `host`; whether the whole window is filled with too many failures."""
        given_up = host if reason is Reason.HOST_DOWN else ""
        if given_up and self._given_up[given_up] >= self._of_one_host:
            return False
        if len(self._last) == self._window:
            self._forget(*self._last.popleft())
        failure = reason in TRANSIENT
        self._last.append((failure, given_up))
        self._failures += failure
        if given_up:
            self._given_up[given_up] += 1
        return failure and len(self._last) == self._window and self._failures >= self._most

    def _forget(self, failure: bool, given_up: str) -> None:
        self._failures -= failure
        if given_up:
            self._given_up[given_up] -= 1
            if not self._given_up[given_up]:
                del self._given_up[given_up]
