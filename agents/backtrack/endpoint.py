"""A served model as a chat model: any server of OpenAI's chat completions, such as vLLM, SGLang, `transformers serve`.

Images travel in the request as base64 PNG. What a server answers is data: it is read up to a size and a time, and its
fields are checked. A server that is busy, fails or does not answer in time is asked again.
"""

import base64
import json
import math
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from PIL import Image

from setaria.agents.backtrack.chat import Conversation
from setaria.agents.exchange import Refused, ask_again, excerpt, exchange


MAX_REPLY_BYTES = 4 << 20
TOP_LOGPROBS = 20  # the most that OpenAI and, by default, vLLM give
VERDICTS = ("yes", "no")
LEAST = {  # values of the fields
    "temperature": 0,
    "max_tokens": 1,
    "timeout": 0.001,
    "retries": 0,
    "first_wait": 0,
    "longest_wait": 0,
    "concurrency": 1,
}

Answer = TypeVar("Answer")
# Jitter leaves the seeded generator of the process alone.
_JITTER = random.SystemRandom()


class EndpointError(RuntimeError):
    """A server gave no usable reply; the message names its address and the reason."""


@dataclass(frozen=True)
class Endpoint:
    """Chat model behind a server. Both methods raise `EndpointError`; then the whole batch has no answer.

    Args:
        base_url: address up to and with the version, such as `http://localhost:8000/v1`.
        model: name of the model as the server knows it.
        api_key_env: environment variable with the API key; no key is sent without.
        temperature: of `generate`; 0 is greedy.
        max_tokens: of a reply of `generate`.
        timeout: seconds that a server may be silent, and after which a reply that is still coming is given up.
        retries: how often a request is made again after status 429 or 5xx, a timeout or a broken connection.
        first_wait: seconds before the first retry, twice as many before each next one, each shortened at random by up
            to a half; added to what the server asks for by `Retry-After`.
        longest_wait: seconds before a retry at most, whatever the server asks for.
        concurrency: requests of a batch that are under way at once.
        described: the Judger describes the outcome first (`Prompts.described`): its verdict ends its reply.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    temperature: float = 0.0
    max_tokens: int = 512
    timeout: float = 120.0
    retries: int = 4
    first_wait: float = 1.0
    longest_wait: float = 60.0
    concurrency: int = 8
    described: bool = False

    def __post_init__(self):
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
            raise ValueError("base_url: http[s]://HOST[:PORT]/PATH is expected, without user and password")
        for field, least in LEAST.items():
            if not getattr(self, field) >= least:
                raise ValueError(f"{field}={getattr(self, field)}: at least {least} is expected")

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"{self.base_url.rstrip('/')}/chat/completions"

    def generate(self, conversations: Sequence[Conversation]) -> list[str]:
        """One reply per conversation; "" where it has no text, as when all tokens went into reasoning."""
        return self._answers(conversations, _text, temperature=self.temperature, max_tokens=self.max_tokens)

    def yes_probability(self, conversations: Sequence[Conversation]) -> list[float]:
        """P(Yes) over {Yes, No}, from the 20 likeliest first tokens of each reply; after a description, from those
        where yes or no was said for the last time.

        The probabilities of the tokens that read yes, or no, but for case and spaces are summed. A server that gives
        no log-probabilities is judged by the token it says: 1 for yes, 0 for no. Where neither word is among the
        tokens the answer is 0.5. Tokens are asked for at temperature 0: at others some servers rescale the
        log-probabilities.
        """
        return self._answers(
            conversations,
            _last_yes_share if self.described else _yes_share,
            temperature=0.0,
            max_tokens=self.max_tokens if self.described else 1,
            logprobs=True,
            top_logprobs=TOP_LOGPROBS,
        )

    def _answers(
        self, conversations: Sequence[Conversation], read: Callable[[bytes], Answer], **options: Any
    ) -> list[Answer]:
        def answer(conversation: Conversation) -> Answer:
            messages = [_message(message) for message in conversation]
            content = self._ask(client, json.dumps({"model": self.model, "messages": messages, **options}).encode())
            try:
                return read(content)
            except ValueError as error:
                raise EndpointError(f"{self.url}: {error}") from None

        limits = httpx2.Limits(max_connections=self.concurrency)
        with (
            httpx2.Client(headers=self._headers(), timeout=self.timeout, limits=limits) as client,
            ThreadPoolExecutor(self.concurrency) as pool,
        ):
            return list(pool.map(answer, conversations))

    def _headers(self) -> dict[str, str]:
        # A compressed reply would have its size only once it is unpacked.
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if self.api_key_env is not None:
            key = os.environ.get(self.api_key_env, "").strip()
            if not (key and key.isascii() and key.isprintable()):
                raise EndpointError(f"{self.url}: the environment variable {self.api_key_env} holds no API key")
            headers["Authorization"] = f"Bearer {key}"
        return headers

    def _ask(self, client: httpx2.Client, request: bytes) -> bytes:
        def once() -> bytes:
            _, reply = exchange(
                client, "POST", self.url, content=request, most_bytes=MAX_REPLY_BYTES, timeout=self.timeout
            )
            return reply

        try:
            return ask_again(once, self.retries, self.first_wait, self.longest_wait, _JITTER)
        except Refused as failure:
            raise EndpointError(f"{self.url}: {failure}") from None


def _message(message: dict[str, Any]) -> dict[str, Any]:
    parts = [
        {"type": "image_url", "image_url": {"url": _data_url(part["image"])}}
        if part["type"] == "image"
        else {"type": "text", "text": part["text"]}
        for part in message["content"]
    ]
    return {"role": message["role"], "content": parts}


def _data_url(image: Image.Image) -> str:
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _text(content: bytes) -> str:
    """Text of a reply, fit for UTF-8: a lone surrogate becomes a question mark."""
    match _parsed(content):
        case {"choices": [{"message": {"role": str(), **message}}, *_]}:
            match message.get("content"):
                case None:
                    return ""
                case str(text):
                    return text.encode("utf-8", "replace").decode()
    raise ValueError(f"choices[0].message.content is no text in {excerpt(content)}")


def _yes_share(content: bytes) -> float:
    match _parsed(content):
        case {"choices": [{"logprobs": {"content": [{"top_logprobs": [_, *_] as tokens}, *_]}}, *_]}:
            return _share(tokens)
    return _share([{"token": _text(content), "logprob": 0.0}])


def _last_yes_share(content: bytes) -> float:
    match _parsed(content):
        case {"choices": [{"logprobs": {"content": [_, *_] as steps}}, *_]}:
            for step in reversed(steps):
                match step:
                    case {"token": str(text), "top_logprobs": [_, *_] as tokens} if _word(text) in VERDICTS:
                        return _share(tokens)
    return _share([{"token": word, "logprob": 0.0} for word in _text(content).split()[-1:]])


def _share(tokens: list[Any]) -> float:
    said = dict.fromkeys(VERDICTS, 0.0)
    for token in tokens:
        match token:
            case {"token": str(text), "logprob": float(logprob)} if not math.isnan(logprob):
                if (word := _word(text)) in said:
                    said[word] += math.exp(min(logprob, 0.0))
    total = sum(said.values())
    return said["yes"] / total if total else 0.5


def _word(token: str) -> str:
    return token.strip().casefold()


def _parsed(content: bytes) -> Any:
    """JSON with all numbers as floats, since an integer can be too long for one."""
    try:
        return json.loads(content, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON ({error}) in {excerpt(content)}") from None
