"""A web on loopback whose answers are scripted, for tests of clients."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers)))
            answer = self.server.answers[min(len(self.server.requests), len(self.server.answers)) - 1]
        answer(self)

    def log_message(self, *_):
        pass


class ScriptedWeb(ThreadingHTTPServer):
    """Answers the n-th request by the n-th function, and later ones by the last."""

    daemon_threads = True

    def __init__(self, host, *answers):
        super().__init__((host, 0), Handler)
        self.answers, self.requests, self.lock = answers, [], threading.Lock()

    @property
    def url(self):
        return f"http://{self.server_address[0]}:{self.server_port}"

    def handle_error(self, *_):
        pass  # the client hung up


@contextmanager
def web(*answers, host="127.0.0.1"):
    """A running server with its `url` and the (path, headers) of its `requests`."""
    with ScriptedWeb(host, *answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def send(content, status=200, length=None, **headers):
    """An answer: text as HTML, bytes and whatever JSON can say as JSON, unless `Content_Type` says otherwise."""
    kind = "text/html; charset=utf-8" if isinstance(content, str) else "application/json"
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()

    def answer(handler):
        handler.send_response(status)
        for name, value in {"Content_Type": kind, "Content_Length": str(length or len(content)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def move(location, status=302):
    return send(b"", status, Location=location)
