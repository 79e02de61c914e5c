"""Manners towards servers: one request at a time and host with a gap between them, and longer waits after failures."""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from setaria.agents.exchange import ask_again


Answer = TypeVar("Answer")
LEAST = {"timeout": 0.001, "retries": 0, "first_wait": 0, "longest_wait": 0, "gap": 0}  # values of the fields


class Polite:
    """How servers are asked; shared by whoever may ask the same ones, from any number of threads.

    Args:
        timeout: seconds for one answer.
        retries: how often a request is made again after status 429 or 5xx, a timeout or a broken connection.
        first_wait: seconds before the first retry, twice as many before each next one, each shortened at random by up
            to a half; added to what the server asks for by `Retry-After`.
        longest_wait: seconds before a retry at most, whatever the server asks for.
        gap: seconds from one request to a host to the next.
        seed: of the random part of waits.

    Raises:
        ValueError: naming the field that is out of range.
    """

    def __init__(
        self,
        timeout: float = 15.0,
        retries: int = 2,
        first_wait: float = 1.0,
        longest_wait: float = 60.0,
        gap: float = 1.0,
        seed: int = 0,
    ):
        self.timeout, self.retries, self.gap = timeout, retries, gap
        self.first_wait, self.longest_wait = first_wait, longest_wait
        for field, least in LEAST.items():
            if not getattr(self, field) >= least:
                raise ValueError(f"{field}={getattr(self, field)}: at least {least} is expected")
        self._jitter = random.Random(seed)
        self._lock = threading.Lock()
        self._free: dict[str, float] = {}

    def turn(self, host: str) -> None:
        """Wait until `host` may be asked again."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._free.get(host, now))
            self._free[host] = start + self.gap
        if start > now:
            time.sleep(start - now)

    def ask(self, once: Callable[[], Answer]) -> Answer:
        """What `once` returns, which is called again after each `TryAgain`; `Refused` when retries are used up."""
        return ask_again(once, self.retries, self.first_wait, self.longest_wait, self._jitter)
