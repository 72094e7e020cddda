"""Runs one web program behind JupyterHub's sign-in: `dashboard.py [--keep-prefix] READY_PATH PROGRAM ARGUMENT…`.

The program is started at once and must answer before a visitor is let in: so "running" is true, and a program
that ends takes the server with it. Every request and every websocket needs a visitor who may use this server.
What passes to the program holds neither JupyterHub's cookies nor its tokens.

This file runs inside the server, with tornado and jupyterhub alone: nothing of this project is there.
"""

import asyncio
import os
import signal
import socket
import sys
from urllib.parse import quote, urlsplit

from jupyterhub import __version__
from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado import httpclient, httputil, iostream, web, websocket

_PORT = "{port}"
_LOOK_AGAIN_SECONDS = 0.05
_LARGEST_BODY = 512 * 1024 * 1024
_PING_SECONDS = 20
# Said between two neighbours, or said anew by our own connection to the program.
_NOT_PASSED = {
    *("authorization", "connection", "cookie", "keep-alive", "proxy-authenticate", "proxy-authorization"),
    *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
}
_HUB_COOKIES = "jupyterhub-"


class Visit(HubOAuthenticated, websocket.WebSocketHandler):  # type: ignore[misc]  # JupyterHub has no types
    """One request or websocket of a visitor, passed on to the program."""

    def initialize(self, port: int, prefix: str, keep_prefix: bool) -> None:
        self._port, self._prefix, self._keep_prefix = port, prefix, keep_prefix
        self._visitor_left = False

    def set_default_headers(self) -> None:
        self.set_header("X-JupyterHub-Version", __version__)
        for name in ("Server", "Content-Type", "Date"):
            self.clear_header(name)

    def check_xsrf_cookie(self) -> None:
        """Programs know nothing of JupyterHub's token against forged requests, so the origin has to do."""
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.check_origin(origin):
            raise web.HTTPError(403)

    async def prepare(self) -> None:
        self.check_xsrf_cookie()
        # Asks the hub without blocking; `current_user` then finds the answer and judges it.
        await self.hub_auth.get_user(self, sync=False)
        if self.current_user is None:
            if self._is_websocket or self.request.method not in ("GET", "HEAD"):
                raise web.HTTPError(403)
            self.redirect(self.get_login_url())

    async def get(self, *args: str) -> None:
        if not self._is_websocket:
            await self._pass_on()
            return
        offered = [name.strip() for name in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        request = httpclient.HTTPRequest(self._target("ws"), headers=self._passed_headers())
        try:
            # First, because what the program chooses is what the visitor is answered.
            self._program = await websocket.websocket_connect(
                request, subprotocols=[name for name in offered if name], max_message_size=_LARGEST_BODY
            )
        except (OSError, httpclient.HTTPClientError):
            raise web.HTTPError(502) from None
        await super().get(*args)

    async def head(self, *args: str) -> None:
        await self._pass_on()

    post = put = patch = delete = options = head

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return self._program.selected_subprotocol

    def open(self, *args: str) -> None:
        self._answers = asyncio.ensure_future(self._pass_answers())

    async def on_message(self, message: str | bytes) -> None:
        await self._program.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        self._program.close()

    def on_connection_close(self) -> None:
        self._visitor_left = True
        super().on_connection_close()

    async def _pass_answers(self) -> None:
        while (message := await self._program.read_message()) is not None:
            try:
                await self.write_message(message, binary=isinstance(message, bytes))
            except websocket.WebSocketClosedError:
                return
        self.close()

    async def _pass_on(self) -> None:
        request = httpclient.HTTPRequest(
            self._target("http"),
            method=self.request.method or "GET",
            headers=self._passed_headers(),
            body=self.request.body or None,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            decompress_response=False,
            request_timeout=0,
            header_callback=self._take_header,
            streaming_callback=self._take_chunk,
        )
        try:
            await httpclient.AsyncHTTPClient().fetch(request, raise_error=False)
        except (OSError, httpclient.HTTPClientError):
            raise web.HTTPError(502) from None

    def _take_header(self, line: str) -> None:
        name, colon, value = line.strip().partition(":")
        if line.startswith("HTTP/"):
            self.set_status(int(line.split()[1]))
        elif colon and name.lower() not in _NOT_PASSED:
            self.add_header(name, value.strip())

    def _take_chunk(self, chunk: bytes) -> None:
        if self._visitor_left:
            # Ends the request to the program too, which may never end by itself.
            raise iostream.StreamClosedError
        self.write(chunk)
        # At once: answers may be streams of events.
        self.flush()

    @property
    def _is_websocket(self) -> bool:
        return self.request.headers.get("Upgrade", "").lower() == "websocket"

    def _target(self, scheme: str) -> str:
        uri = self.request.uri or ""
        if not self._keep_prefix:
            written = next(form for form in _forms(self._prefix) if uri.startswith(form))
            uri = uri.removeprefix(written.removesuffix("/"))
        return f"{scheme}://127.0.0.1:{self._port}{uri}"

    def _passed_headers(self) -> httputil.HTTPHeaders:
        headers = httputil.HTTPHeaders()
        for name, value in self.request.headers.get_all():
            if name.lower() not in _NOT_PASSED and not name.lower().startswith("sec-websocket-"):
                headers.add(name, value)
        cookies = [cookie.strip() for cookie in self.request.headers.get("Cookie", "").split(";")]
        if passed := [cookie for cookie in cookies if cookie and not cookie.startswith(_HUB_COOKIES)]:
            headers["Cookie"] = "; ".join(passed)
        return headers


def _forms(prefix: str) -> set[str]:
    """Return the ways in which clients write the path of this server: an `@` may be escaped."""
    return {prefix, quote(prefix), quote(prefix, safe="/@")}


async def _answers(port: int, path: str) -> bool:
    """Say whether the program answers, whatever it is."""
    try:
        await httpclient.AsyncHTTPClient().fetch(
            f"http://127.0.0.1:{port}{path}", raise_error=False, follow_redirects=False, request_timeout=30
        )
    except (OSError, httpclient.HTTPClientError):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _listen(port: int, keep_prefix: bool) -> None:
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    shared = {"port": port, "prefix": prefix, "keep_prefix": keep_prefix}
    routes: list[tuple[str, type[web.RequestHandler], dict[str, object]]] = []
    for form in sorted(_forms(prefix)):
        routes += [(f"{form}oauth_callback", HubOAuthCallbackHandler, {}), (f"{form}.*", Visit, shared)]
    app = web.Application(
        routes,
        cookie_secret=os.urandom(32),
        websocket_ping_interval=_PING_SECONDS,
        websocket_max_message_size=_LARGEST_BODY,
    )
    app.listen(address.port or 80, address.hostname, max_body_size=_LARGEST_BODY, max_buffer_size=_LARGEST_BODY)


async def main(arguments: list[str]) -> int:
    """Run the program and its proxy until one of them ends; return the exit code."""
    keep_prefix = arguments[0] == "--keep-prefix"
    ready_path, *command = arguments[1:] if keep_prefix else arguments
    port = _free_port()
    httpclient.AsyncHTTPClient.configure(None, max_clients=1000, max_body_size=_LARGEST_BODY)
    program = await asyncio.create_subprocess_exec(
        *(argument.replace(_PORT, str(port)) for argument in command),
        env={name: str(port) if value == _PORT else value for name, value in os.environ.items()},
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, program.terminate)
    ended = asyncio.ensure_future(program.wait())
    try:
        while not ended.done() and not await _answers(port, ready_path):
            await asyncio.wait([ended], timeout=_LOOK_AGAIN_SECONDS)
        if not ended.done():
            _listen(port, keep_prefix)
        # A web program that ends has failed, whatever it says of itself.
        return await ended or 1
    finally:
        if program.returncode is None:
            program.kill()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
