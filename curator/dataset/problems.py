"""The list of what is wrong with a dataset, bounded in what it holds."""


class Problems:
    """Counts every problem and keeps the first `most` of them, one line each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.listed: list[str] = []
        self.found = 0

    def add(self, problem: str, times: int = 1) -> None:
        """Note a problem, found `times` times."""
        self.found += times
        if len(self.listed) < self._most:
            self.listed.append(" ".join(problem.split()))
