"""When to save what a long work has done so far."""

from __future__ import annotations

import time


class Pace:
    """So seldom that saving takes no more than a share of the time."""

    def __init__(self, share: float, least: float = 0.0) -> None:
        """Begin to wait.

        Args:
            share: most of the time that saving may take: after a save that took c seconds, the next comes
                c / share later.
            least: seconds from one save to the next, and to the first one, at least.
        """
        self.share = share
        self.least = least
        self._next = time.perf_counter() + least

    def due(self) -> bool:
        """Return whether it is time."""
        return time.perf_counter() >= self._next

    def saved(self, start: float) -> None:
        """Take note of a save that began at this `time.perf_counter()`."""
        now = time.perf_counter()
        self._next = now + max(self.least, (now - start) / self.share)
