"""Stands in for the two endpoints of Vault that need no credential: what a wrapping token is for, and its one use."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from models.domain.server_spec import SecretMount, WrappedSecret

Value = str | dict[str, str]


class Wrapping:
    """A server of its own; `close` it."""

    def __init__(self) -> None:
        self._wrapped: dict[str, tuple[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wrap(
        self, kind: str, value: Value, *, name: str = "a name", target: str = ""
    ) -> tuple[SecretMount, WrappedSecret]:
        """A secret in Vault: its place as the worker signs it, and the token that opens it."""
        identity, token = str(uuid.uuid4()), f"hvs.{uuid.uuid4().hex}"
        mount = SecretMount(
            id=identity, kind=kind, name=name, target=target, path=f"secret/data/secrets/{identity}", version=3
        )
        self._wrapped[token] = mount.path, {"data": {"value": value}, "metadata": {"version": mount.version}}
        return mount, WrappedSecret(id=identity, token=token)

    def answer(self, path: str, body: dict[str, str], token: str) -> tuple[int, object]:
        match path:
            case "/v1/sys/wrapping/lookup" if body["token"] in self._wrapped:
                return 200, {"data": {"creation_path": self._wrapped[body["token"]][0]}}
            case "/v1/sys/wrapping/unwrap" if token in self._wrapped:
                return 200, {"data": self._wrapped.pop(token)[1]}
        return 400, {"errors": ["wrapping token is not valid or does not exist"]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, content = answer(self.path, body, self.headers.get("X-Vault-Token", ""))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
