"""One HTTP exchange within limits of size and time, and asking again where a failure may pass.

What a server sends is data: nothing of it is followed or unpacked here.
"""

import random
import time
from collections.abc import Callable, Collection
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2


EXCERPT_BYTES = 300

Answer = TypeVar("Answer")


class Refused(Exception):
    """A failure that asking again would not change; `status` is that of the reply if it is the reason, else 0."""

    def __init__(self, reason: str, status: int = 0):
        super().__init__(reason)
        self.status = status


class Redirected(Refused):
    """The server sends the client elsewhere: to `location`, as it was written."""

    def __init__(self, status: int, location: str):
        super().__init__(f"status {status}, sent on to {location[:EXCERPT_BYTES]!r}", status)
        self.location = location


class TryAgain(Exception):
    """A failure that may pass, with the seconds that the server asks to wait."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


def exchange(
    client: httpx2.Client,
    method: str,
    url: str | httpx2.URL,
    *,
    most_bytes: int,
    timeout: float,
    content: bytes | None = None,
    types: Collection[str] | None = None,
) -> tuple[httpx2.Response, bytes]:
    """Headers and content of a reply of status 200. The client is one that does not follow redirects.

    Args:
        most_bytes: of the content.
        timeout: seconds from here until all of the content must be there; the client's own timeouts bound each wait.
        content: body of the request.
        types: media types that are read, such as text/html; any if not given.

    Raises:
        TryAgain: on status 429 and 5xx, timeouts and broken connections.
        Redirected: on a status that sends the client elsewhere.
        Refused: on any other status, on an address that cannot be, and on a reply that is too long or of another type.
    """
    deadline = time.monotonic() + timeout
    try:
        with client.stream(method, url, content=content) as response:
            if response.has_redirect_location:
                raise Redirected(response.status_code, response.headers["Location"])
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if response.status_code == 200 and types is not None and media_type not in types:
                raise Refused(f"a reply of type {media_type[:EXCERPT_BYTES]!r}")
            received = _read(response, most_bytes, timeout, deadline)
    except (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
        raise TryAgain(f"{type(error).__name__} ({error})") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Refused(f"{type(error).__name__} ({error})") from None
    if response.status_code == 200:
        return response, received
    reason = f"status {response.status_code}, {excerpt(received)}"
    if response.status_code == 429 or response.status_code >= 500:
        raise TryAgain(reason, _seconds(response.headers.get("Retry-After", "0")))
    raise Refused(reason, response.status_code)


def ask_again(
    once: Callable[[], Answer], retries: int, first_wait: float, longest_wait: float, jitter: random.Random
) -> Answer:
    """What `once` returns, called again after each `TryAgain`.

    Args:
        retries: calls after the first.
        first_wait: seconds before the first retry, twice as many before each next one, each shortened at random by up
            to a half; added to what the server asks for.
        longest_wait: seconds before a retry at most, whatever the server asks for.

    Raises:
        Refused: once the retries are used up, with the last reason and the number of attempts.
    """
    for retried in range(retries):
        try:
            return once()
        except TryAgain as failure:
            wait = failure.wait + first_wait * 2**retried * jitter.uniform(0.5, 1)
        time.sleep(min(wait, longest_wait))
    try:
        return once()
    except TryAgain as failure:
        raise Refused(f"{failure}; attempts: {retries + 1}") from None


def excerpt(content: bytes) -> str:
    """The beginning of a reply, fit for a message."""
    return repr(content[:EXCERPT_BYTES].decode("utf-8", "replace"))


def _read(response: httpx2.Response, most_bytes: int, timeout: float, deadline: float) -> bytes:
    content = b""
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > most_bytes:
            raise Refused(f"a reply of more than {most_bytes} bytes")
        if time.monotonic() > deadline:
            raise httpx2.ReadTimeout(f"no whole reply within {timeout} s")
    return content


def _seconds(retry_after: str) -> float:
    """Seconds that a `Retry-After` header asks to wait, given as such or as a date; 0 if it is neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            seconds = 0.0
    return max(0.0, seconds)
