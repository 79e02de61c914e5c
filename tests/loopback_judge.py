"""A judge on loopback: an OpenAI-compatible server that says what a function makes of a prompt."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        [message] = body["messages"]
        [part] = message["content"]
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), body))
            self.server.prompts.append(part["text"])
        said = self.server.says(part["text"])
        status, content = (said, b"no") if isinstance(said, int) else (200, said)
        if isinstance(content, str):
            content = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class JudgeServer(ThreadingHTTPServer):
    """Says `says(prompt)`: a text as a reply, a number as a status, bytes as they are."""

    daemon_threads = True

    def __init__(self, says):
        super().__init__(("127.0.0.1", 0), Handler)
        self.says, self.requests, self.prompts, self.lock = says, [], [], threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_):
        pass  # the client hung up


@contextmanager
def judge(says):
    """A running server with its `url`, `prompts` and `requests` (path, headers, body)."""
    with JudgeServer(says) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
