"""When a crawl only collects failures: the share of the last verdicts that may pass another time."""

from collections import deque

from curator.reasons import TRANSIENT, Reason

WINDOW = 2_000  # verdicts


class FailureShare:
    """Watches the verdicts of one run. Verdicts without a request do not count.

    One dead host with many links comes to thousands of `host_down` in a row, and says nothing of the others.
    """

    def __init__(self, share: float, window: int = WINDOW) -> None:
        """`share`, 0 to 1, is too much; 0: nothing is."""
        self._most = share * window if share else window + 1.0
        self._last: deque[bool] = deque(maxlen=window)
        self._failures = 0

    def add(self, reason: Reason) -> bool:
        """Note a verdict; whether the whole window is filled with too many failures."""
        if reason is Reason.HOST_DOWN:
            return False
        failure = reason in TRANSIENT
        if len(self._last) == self._last.maxlen:
            self._failures -= self._last[0]
        self._last.append(failure)
        self._failures += failure
        return failure and len(self._last) == self._last.maxlen and self._failures >= self._most
