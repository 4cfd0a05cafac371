"""The list of what is wrong with a dataset, bounded in what it holds."""


class Problems:
    """Counts every problem and keeps the first `most` of them, one line each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.listed: list[str] = []
        self.found = 0

    def add(self, problem: str) -> None:
        """Note a problem. What it quotes may come from damage or from a list: nothing unprintable is kept."""
        self.found += 1
        if len(self.listed) < self._most:
            line = " ".join(problem.split())
            self.listed.append(
                "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
            )
