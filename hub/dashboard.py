"""Runs one web program behind JupyterHub's sign-in.

`dashboard.py [--keep-prefix] [--port-variable NAME]… READY_PATH PROGRAM ARGUMENT…`; arguments are format strings of
`{port}`, and each variable is set to the port.

The program is started at once and must answer before a visitor is let in: so "running" is true, and a program
that ends takes the server with it. Every request and every websocket needs a visitor who may use this server.
What passes to the program holds neither JupyterHub's cookies nor its tokens. Bodies pass as they come, in both
directions and no faster than they are taken; a websocket, once both sides agree on it, passes byte by byte.

This file runs inside the server, with tornado and jupyterhub alone: nothing of this project is there.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from urllib.parse import urlsplit

from jupyterhub import __version__
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado import httpclient, httputil, iostream, web
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters

_LOOK_AGAIN_SECONDS = 0.05
_CHUNK_BYTES = 64 * 1024
# Nothing of a body is held here, so how large it may be is for the program to say.
_LARGEST_BODY = 1 << 50
# Said between two neighbours, or said anew by our own connection to the program.
_NOT_PASSED = {
    *("authorization", "connection", "cookie", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization"),
    *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
}
_HUB_COOKIES = "jupyterhub-"
# The methods whose bodies tornado sends without knowing their length.
_CHUNKED_METHODS = ("POST", "PUT", "PATCH")


@web.stream_request_body
class Visit(HubOAuthenticated, web.RequestHandler):  # type: ignore[misc]  # JupyterHub has no types
    """One request or websocket of a visitor, passed on to the program."""

    def initialize(self, port: int, prefix: str, keep_prefix: bool) -> None:
        self._port, self._prefix, self._keep_prefix = port, prefix, keep_prefix
        self._program: HTTP1Connection | None = None
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_websocket = self.request.headers.get("Upgrade", "").lower() == "websocket"
        self.took_all = False

    def set_default_headers(self) -> None:
        # Until all of a request was taken: tornado closes what it answers before, and a proxy may not use it again.
        self.set_header("Connection", "close")
        self.set_header("X-JupyterHub-Version", __version__)
        for name in ("Server", "Content-Type", "Date"):
            self.clear_header(name)

    def check_xsrf_cookie(self) -> None:
        """Programs know nothing of JupyterHub's token against forged requests, so the origin has to do."""
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != self.request.host.lower():
            raise web.HTTPError(403)

    async def prepare(self) -> None:
        self.check_xsrf_cookie()
        # Asks the hub without blocking; `current_user` then finds the answer and judges it.
        await self.hub_auth.get_user(self, sync=False)
        if self.current_user is None:
            if self.is_websocket or self.request.method not in ("GET", "HEAD"):
                raise web.HTTPError(403)
            self.redirect(self.get_login_url())
            return
        if "Transfer-Encoding" in self.request.headers and self.request.method not in _CHUNKED_METHODS:
            raise web.HTTPError(411)
        try:
            stream = await iostream.IOStream(socket.socket()).connect(("127.0.0.1", self._port))
        except iostream.StreamClosedError:
            raise web.HTTPError(502) from None
        self._program = HTTP1Connection(
            stream, True, HTTP1ConnectionParameters(chunk_size=_CHUNK_BYTES, max_body_size=_LARGEST_BODY)
        )
        start = httputil.RequestStartLine(self.request.method or "GET", self._target(), "HTTP/1.1")
        self._program.write_headers(start, self._passed_headers())
        # From now on: a program may answer before it has read all that it is sent.
        self._answer = Answer(self, self._program)
        self._answering = asyncio.ensure_future(self._answer.pass_on())
        if self.is_websocket:
            self._program.finish()
            # A connection can change hands only while nothing but its head was read.
            await self._end_answer()

    async def data_received(self, chunk: bytes) -> None:
        assert self._program is not None
        # The program may have answered without wanting all of it.
        if not self._answering.done():
            await asyncio.wait([self._program.write(chunk), self._answering], return_when=asyncio.FIRST_COMPLETED)

    async def get(self) -> None:
        assert self._program is not None
        self.took_all = True
        self._program.finish()
        await self._end_answer()

    head = post = put = patch = delete = options = get

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.left.set_result(None)
        if self._program is not None:
            # Ends what the program does for this visitor, which may never end by itself.
            self._program.close()

    async def _end_answer(self) -> None:
        await self._answering
        if self._finished or self._answer.complete:
            return
        if not self._headers_written:
            raise web.HTTPError(502)
        # The visitor must not take what there is for the whole.
        self.detach().close()

    def _target(self) -> str:
        uri = self.request.uri or "/"
        # By the number of its parts, since clients may escape an `@` in them or not.
        return uri if self._keep_prefix else "/" + uri.split("/", self._prefix.count("/"))[-1]

    def _passed_headers(self) -> httputil.HTTPHeaders:
        headers = httputil.HTTPHeaders()
        for name, value in self.request.headers.get_all():
            if name.lower() not in _NOT_PASSED:
                headers.add(name, value)
        cookies = [cookie.strip() for cookie in self.request.headers.get("Cookie", "").split(";")]
        if passed := [cookie for cookie in cookies if cookie and not cookie.startswith(_HUB_COOKIES)]:
            headers["Cookie"] = "; ".join(passed)
        headers["Connection"] = "Upgrade" if self.is_websocket else "close"
        if self.is_websocket:
            headers["Upgrade"] = "websocket"
        return headers


class Answer(httputil.HTTPMessageDelegate):
    """The program's answer to one visit, passed on as it comes."""

    complete = False

    def __init__(self, visit: Visit, program: HTTP1Connection) -> None:
        self._visit, self._program = visit, program

    async def pass_on(self) -> None:
        """Return when the answer has ended, or the websocket that it became; `complete` tells whether all came."""
        with contextlib.suppress(iostream.StreamClosedError):
            await self._program.read_response(self)
        self._program.close()

    async def headers_received(
        self, start_line: httputil.RequestStartLine | httputil.ResponseStartLine, headers: httputil.HTTPHeaders
    ) -> None:
        assert isinstance(start_line, httputil.ResponseStartLine)
        if self._visit.is_websocket and start_line.code == 101:
            await self._become_websocket(start_line, headers)
            return
        if start_line.code < 200:
            return
        if self._visit.is_websocket and start_line.code < 400:
            # An answer, but none to what was asked.
            self._visit.set_status(502)
        else:
            self._visit.set_status(start_line.code, start_line.reason)
        if self._visit.took_all:
            self._visit.clear_header("Connection")
        for name, value in headers.get_all():
            if name.lower() not in _NOT_PASSED:
                self._visit.add_header(name, value)
        await self._flush()

    async def data_received(self, chunk: bytes) -> None:
        self._visit.write(chunk)
        await self._flush()

    def finish(self) -> None:
        self.complete = True

    async def _flush(self) -> None:
        # At once: answers may be streams of events. And wait, so that a slow visitor slows the program down.
        # Nobody is told that what is flushed to a visitor who left was not.
        await asyncio.wait([self._visit.flush(), self._visit.left], return_when=asyncio.FIRST_COMPLETED)

    async def _become_websocket(self, start_line: httputil.ResponseStartLine, headers: httputil.HTTPHeaders) -> None:
        lines = [f"HTTP/1.1 101 {start_line.reason}", *(f"{name}: {value}" for name, value in headers.get_all())]
        program, visitor = self._program.detach(), self._visit.detach()
        for stream in (program, visitor):
            stream.set_nodelay(True)
        with contextlib.suppress(iostream.StreamClosedError):
            await visitor.write("\r\n".join([*lines, "", ""]).encode("latin1"))
        await asyncio.gather(_pass_bytes(program, visitor), _pass_bytes(visitor, program))


async def _pass_bytes(source: iostream.IOStream, target: iostream.IOStream) -> None:
    """Pass on all that comes until one side ends, and end the other."""
    with contextlib.suppress(iostream.StreamClosedError):
        while True:
            await target.write(await source.read_bytes(_CHUNK_BYTES, partial=True))
    source.close()
    target.close()


class AddSlash(web.RequestHandler):
    """Leads from the server's address without its last slash to the one with it."""

    @web.addslash
    def get(self) -> None:
        """Never answers itself."""

    head = get


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
    # Nothing but this server's own address leads here, in whatever way a client writes it.
    place = "/[^/]+" * (prefix.count("/") - 1)
    app = web.Application(
        [
            (f"{place}/oauth_callback", HubOAuthCallbackHandler),
            (place, AddSlash),
            (f"{place}/.*", Visit, {"port": port, "prefix": prefix, "keep_prefix": keep_prefix}),
        ],
        cookie_secret=os.urandom(32),
    )
    app.listen(address.port or 80, address.hostname, max_body_size=_LARGEST_BODY, chunk_size=_CHUNK_BYTES)


async def main(arguments: list[str]) -> int:
    """Run the program and its proxy until one of them ends; return the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--keep-prefix", action="store_true")
    parser.add_argument("--let-in-seconds", type=int, required=True)
    parser.add_argument("--port-variable", action="append", default=[])
    parser.add_argument("ready_path")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    port = _free_port()
    program = await asyncio.create_subprocess_exec(
        *(argument.format(port=port) for argument in options.command),
        env={**os.environ, **dict.fromkeys(options.port_variable, str(port))},
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, program.terminate)
    ended = asyncio.ensure_future(program.wait())
    try:
        while not ended.done() and not await _answers(port, options.ready_path):
            await asyncio.wait([ended], timeout=_LOOK_AGAIN_SECONDS)
        if not ended.done():
            # The one that all visits ask.
            HubOAuth.instance(cache_max_age=options.let_in_seconds)
            _listen(port, options.keep_prefix)
        # A web program that ends has failed, whatever it says of itself.
        return await ended or 1
    finally:
        if program.returncode is None:
            program.kill()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
