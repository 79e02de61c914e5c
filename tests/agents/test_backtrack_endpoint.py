"""Served models: a scripted server on loopback that behaves and misbehaves."""

import base64
import json
import math
import socket
import threading
import time
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from setaria.agents.backtrack.endpoint import MAX_REPLY_BYTES, Endpoint, EndpointError


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), body))
            answer = self.server.answers[min(len(self.server.requests), len(self.server.answers)) - 1]
        answer(self, body)

    def log_message(self, *_):
        pass


class ScriptedServer(ThreadingHTTPServer):
    """Answers the n-th request by the n-th function, and later ones by the last."""

    def __init__(self, *answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests, self.lock = answers, [], threading.Lock()

    def handle_error(self, *_):
        pass  # the client hung up


@contextmanager
def serving(*answers, **options):
    """(endpoint, requests) of a scripted server; retries do not wait unless told otherwise."""
    with ScriptedServer(*answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        yield Endpoint(url, "tiny", **{"first_wait": 0.0, **options}), server.requests
        server.shutdown()


def send(content, status=200, length=None, **headers):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()

    def answer(handler, _):
        handler.send_response(status)
        for name, value in {"Content-Length": str(length or len(content)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def reply(text, **choice):
    return {"choices": [{"message": {"role": "assistant", "content": text}, **choice}]}


def top(*tokens):
    """A reply that says Yes, with (token, probability) of its first token."""
    listed = [{"token": token, "logprob": math.log(probability)} for token, probability in tokens]
    return reply("Yes", logprobs={"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": listed}]})


def asking(text, *images):
    parts = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}]
    return [{"role": "user", "content": parts}]


@pytest.fixture
def waits(monkeypatch):
    """Seconds that the client would have slept."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_request_and_reply():
    page = Image.new("RGB", (3, 2), (10, 20, 30))
    page.putpixel((2, 1), (255, 0, 0))
    conversation = [{"role": "system", "content": [{"type": "text", "text": "S"}]}, *asking("Q", page)]
    with serving(send(reply("click(3)")), temperature=0.7, max_tokens=9) as (endpoint, requests):
        assert endpoint.generate([conversation]) == ["click(3)"]
    path, headers, body = requests[0]
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert headers["Accept-Encoding"] == "identity"
    sent = body["messages"][1]["content"][0]["image_url"].pop("url")
    assert body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "S"}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "Q"}]},
        ],
        "temperature": 0.7,
        "max_tokens": 9,
    }
    kind, encoded = sent.split(",")
    assert kind == "data:image/png;base64"
    received = Image.open(BytesIO(base64.b64decode(encoded)))
    assert (received.format, received.mode, received.tobytes()) == ("PNG", "RGB", page.tobytes())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
def test_images_of_any_mode_are_sent_as_rgb(mode):
    with serving(send(reply("ok"))) as (endpoint, requests):
        endpoint.generate([asking("Q", Image.new(mode, (4, 4)))])
    url = requests[0][2]["messages"][0]["content"][0]["image_url"]["url"]
    assert Image.open(BytesIO(base64.b64decode(url.split(",")[1]))).mode == "RGB"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (reply("two\nlines \u00e9"), "two\nlines \u00e9"),
        (reply(None), ""),
        ({"choices": [{"message": {"role": "assistant", "reasoning_content": "hm"}}]}, ""),
        (reply("half \ud83d of a pair"), "half ? of a pair"),  # a lone surrogate cannot be written as UTF-8
    ],
)
def test_texts(answer, text):
    with serving(send(answer)) as (endpoint, _):
        assert endpoint.generate([asking("Q")]) == [text]


# The text of `top` is Yes: where there are log-probabilities it does not matter.
PROBABILITIES = {
    "both": (top(("Yes", 0.6), ("No", 0.2)), 0.75),
    "case and spaces are summed": (top((" yes", 0.1), ("Yes", 0.2), ("NO", 0.1), ("\nno", 0.3), ("Yep", 0.3)), 3 / 7),
    "yes is not among the 20": (top(("No", 0.9), ("Maybe", 0.1)), 0.0),
    "neither is": (top(("Maybe", 0.9), ("I", 0.1)), 0.5),
    "not numbers": (
        reply("Yes", logprobs={"content": [{"top_logprobs": [
            {"token": "Yes", "logprob": None}, {"token": "Yes", "logprob": math.nan}, {"token": 7, "logprob": 0.0},
            {"token": "Yes", "logprob": -math.inf}, {"token": "Yes", "logprob": -(10**400)}, None,
            {"token": "No", "logprob": -1}
        ]}]}),
        0.0,
    ),
    "above 0 by rounding": (top(("Yes", 1.0000001)), 1.0),
    "none: yes": (reply(" YES"), 1.0),
    "none: no": (reply("no\n"), 0.0),
    "none: neither": (reply("Maybe"), 0.5),
    "null": (reply("No", logprobs=None), 0.0),
    "no token": (reply("", logprobs={"content": []}), 0.5),
    "no alternatives": (reply("No", logprobs={"content": [{"top_logprobs": []}]}), 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "probability"), PROBABILITIES.values(), ids=PROBABILITIES)
def test_yes_probability(answer, probability):
    with serving(send(answer), temperature=1.3, max_tokens=99) as (endpoint, requests):
        assert endpoint.yes_probability([asking("Helpful?")]) == [pytest.approx(probability)]
    options = {name: requests[0][2][name] for name in ("temperature", "max_tokens", "logprobs", "top_logprobs")}
    assert options == {"temperature": 0.0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}


def test_a_verdict_after_a_description():
    """Of Drawing, No, way, Yes: the last yes or no counts, with .6 against .2."""
    steps = [("Drawing", 0.9), ("No", 0.9), (" way\n", 0.9)]
    content = [{"token": word, "top_logprobs": [{"token": word, "logprob": math.log(p)}]} for word, p in steps]
    content += top(("Yes", 0.6), ("No", 0.2))["choices"][0]["logprobs"]["content"]
    content[-1]["token"] = "Yes"
    said = reply("Drawing No way\nYes", logprobs={"content": content})
    with serving(send(said), described=True, max_tokens=99) as (endpoint, requests):
        assert endpoint.yes_probability([asking("Helpful?")]) == [pytest.approx(0.75)]
    assert requests[0][2]["max_tokens"] == 99
    with serving(send(reply("Drawing, Back\nNo")), described=True) as (endpoint, _):
        assert endpoint.yes_probability([asking("Helpful?")]) == [0.0]


def test_a_batch_is_asked_at_once_and_keeps_its_order():
    together = threading.Barrier(4, timeout=10)

    def echo(handler, body):
        together.wait()  # no request is answered before four are under way
        send(reply(body["messages"][0]["content"][0]["text"]))(handler, body)

    texts = [str(number) for number in range(8)]
    with serving(echo, concurrency=4) as (endpoint, _):
        assert endpoint.generate([asking(text) for text in texts]) == texts
        assert endpoint.generate([]) == []


def test_one_failure_fails_the_batch():
    def refuse_two(handler, body):
        refused = body["messages"][0]["content"][0]["text"] == "2"
        send({"error": "too long"} if refused else reply("ok"), 400 if refused else 200)(handler, body)

    with serving(refuse_two) as (endpoint, _), pytest.raises(EndpointError, match=r"status 400.*too long"):
        endpoint.generate([asking(str(number)) for number in range(4)])


OK = send(reply("ok"))


def test_retry_after_is_waited_for_and_bounded(waits):
    past, future = formatdate(0, usegmt=True), formatdate(time.time() + 3600, usegmt=True)
    asked = ["7", "3600", future, past, "soon", "-5", "nan", "Mon, 01 Jan 99999999999 00:00:00 GMT"]
    busy = [send({}, 429, Retry_After=text) for text in asked]
    with serving(*busy, send({}, 503), OK, retries=9, longest_wait=60.0) as (endpoint, requests):
        assert endpoint.generate([asking("Q")]) == ["ok"]
    assert waits == [7, 60, 60, 0, 0, 0, 0, 0, 0]
    assert len(requests) == 10


def test_waits_double_with_jitter(waits):
    with serving(*[send({}, 500)] * 4, OK, first_wait=1.0, longest_wait=3.5) as (endpoint, _):
        assert endpoint.generate([asking("Q")]) == ["ok"]
    # 1, 2, 4, 8 s, each shortened by up to a half, then cut at 3.5 s
    for wait, least, most in zip(waits, [0.5, 1, 2, 3.5], [1, 2, 3.5, 3.5], strict=True):
        assert least <= wait <= most


def test_retries_end(waits):
    with serving(send(b"\x1b[31mno memory", 500), retries=2) as (endpoint, requests):
        with pytest.raises(EndpointError) as raised:
            endpoint.generate([asking("Q")])
        assert len(requests) == 3
    assert str(raised.value) == rf"{endpoint.url}: status 500, '\x1b[31mno memory'; attempts: 3"


def drip(handler, _):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.02)


def test_a_silent_server_is_asked_again():
    released = threading.Event()

    def silent(*_):
        released.wait(10)

    with serving(silent, timeout=0.2, retries=1) as (endpoint, requests):
        with pytest.raises(EndpointError, match=r"ReadTimeout .*; attempts: 2"):
            endpoint.generate([asking("Q")])
        assert len(requests) == 2
    with serving(silent, OK, timeout=0.2) as (endpoint, _):
        assert endpoint.generate([asking("Q")]) == ["ok"]
    released.set()


def test_a_reply_that_drips_is_given_up():
    too_long = pytest.raises(EndpointError, match=r"no whole reply within 0.2 s")
    with serving(drip, timeout=0.2, retries=0) as (endpoint, _), too_long:
        endpoint.generate([asking("Q")])


def test_a_broken_connection_is_tried_again():
    with serving(send(b'{"choices": [', length=1000), OK) as (endpoint, requests):
        assert endpoint.generate([asking("Q")]) == ["ok"]
    assert len(requests) == 2


def test_a_refused_connection():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match=f"{url}/chat/completions: ConnectError .*; attempts: 2"):
        Endpoint(url, "tiny", retries=1, first_wait=0.0).generate([asking("Q")])


def test_an_address_that_cannot_be():
    with pytest.raises(EndpointError, match=r"^http://localhost:port/v1/chat/completions: InvalidURL"):
        Endpoint("http://localhost:port/v1", "tiny").generate([asking("Q")])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (send(b'{"choices": [{"message"'), "no JSON"),
        (send(b"\xff\xfe"), "no JSON"),
        (send(b"[" * 100_000), "no JSON"),
        (send(b""), "no JSON"),
        (send([]), r"choices\[0\].message.content is no text"),
        (send({"choices": []}), r"choices\[0\].message.content is no text"),
        (send(reply(["a part"])), r"choices\[0\].message.content is no text"),
        (send({"error": "no such model"}, 404), "status 404.*no such model"),
        (send({}, 302, Location="http://127.0.0.1:9/"), "status 302"),
        (send(b" " * (MAX_REPLY_BYTES + 1)), f"more than {MAX_REPLY_BYTES} bytes"),
    ],
)
def test_useless_replies_are_not_asked_for_again(answer, reason):
    with serving(answer) as (endpoint, requests):
        for ask in (endpoint.generate, endpoint.yes_probability):
            with pytest.raises(EndpointError, match=f"^{endpoint.url}: .*{reason}") as raised:
                ask([asking("Q")])
            assert len(str(raised.value)) < 600
    assert len(requests) == 2


KEYS = st.sampled_from(["choices", "message", "role", "content", "logprobs", "top_logprobs", "token", "logprob"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["Yes", "no"])
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
TOKENS = st.lists(st.fixed_dictionaries({"token": LEAVES, "logprob": LEAVES}) | LEAVES, max_size=4)


@given(TOKENS)
def test_any_tokens_give_a_probability(tokens):
    with serving(send(reply("Yes", logprobs={"content": [{"top_logprobs": tokens}]}))) as (endpoint, _):
        assert 0 <= endpoint.yes_probability([asking("Q")])[0] <= 1


@given(ANYTHING.map(reply) | ANYTHING)
def test_any_reply_is_read_or_refused(answer):
    with serving(send(answer)) as (endpoint, _), suppress(EndpointError):
        assert isinstance(endpoint.generate([asking("Q")])[0], str)


def test_api_key(monkeypatch):
    with serving(OK, api_key_env="SETARIA_TEST_KEY") as (endpoint, requests):
        for key in ("", "two\nlines", "schl\u00fcssel"):
            monkeypatch.setenv("SETARIA_TEST_KEY", key)
            with pytest.raises(EndpointError, match=r"SETARIA_TEST_KEY holds no API key$"):
                endpoint.generate([asking("Q")])
        monkeypatch.setenv("SETARIA_TEST_KEY", "secret\n")
        endpoint.generate([asking("Q")])
    assert [headers["Authorization"] for _, headers, _ in requests] == ["Bearer secret"]
    assert "secret" not in repr(endpoint)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "localhost:8000"),
        ("base_url", "file:///etc/passwd"),
        ("base_url", "http://user:password@localhost/v1"),
        ("temperature", -0.1),
        ("max_tokens", 0),
        ("timeout", 0),
        ("timeout", math.nan),
        ("retries", -1),
        ("first_wait", -1),
        ("longest_wait", -1),
        ("concurrency", 0),
    ],
)
def test_fields_are_checked(field, value):
    with pytest.raises(ValueError, match=field) as raised:
        Endpoint(**{"base_url": "http://localhost:8000/v1", "model": "tiny", field: value})
    assert "password@" not in str(raised.value)
