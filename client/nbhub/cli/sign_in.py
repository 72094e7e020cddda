"""`nbhub login`, `logout` and `whoami`.

A sign-in begins and ends at the API, which keeps the verifier of the code; what comes in between happens in a browser,
which the provider sends back to a port of this machine. The code is of use to nobody else: the sign-in is known by the
cookie that this program alone has.

Where there is no browser a code is typed in one elsewhere (RFC 8628); what the sign-in is known by is shown to nobody.
"""

import os
import secrets
import select
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import msgspec

from nbhub import Hub
from nbhub.cli.exits import UsageProblem
from nbhub.cli.grammar import Option
from nbhub.cli.options import COMMON, Common
from nbhub.cli.output import print_json, print_table, word
from nbhub.credentials import DEFAULT_URL, URL_VARIABLE
from nbhub.display import is_link
from nbhub.errors import Conflict, Invalid, NotebooksHubError
from nbhub.models import Tokens
from nbhub.profiles import FILE, KEYRING, Profile, Profiles

CALLBACK = "/callback"
_MINUTES = 10
_PAGE = b"<!doctype html><title>Notebooks Hub</title><p>%s You can close this page."


def login(
    url: Annotated[str | None, Option("of Notebooks Hub")] = None,
    /,
    *,
    device: Annotated[bool, Option("sign in by a code that is typed in a browser elsewhere")] = False,
    with_token: Annotated[bool, Option("read an access token from stdin instead")] = False,
    no_browser: Annotated[bool, Option("sign in with a browser elsewhere, and paste the address it ends at")] = False,
    common: Common = COMMON,
) -> None:
    """Sign in, in a browser. Commands and programs of this machine are signed in from then on.

    Where there is no browser, such as over ssh, a code is printed, and where to type it in a browser elsewhere. With
    --no-browser, and if the provider has no such codes, it is the address to sign in at: the browser ends at a page of
    its own machine that it cannot show, and the address of that page is pasted here.
    """
    if device + with_token + no_browser > 1:
        raise UsageProblem("--device, --no-browser and --with-token are three ways to sign in: choose one")
    profiles = Profiles()
    name = common.profile or profiles.current() or "default"
    known = next((one for one in profiles.all() if one.name == name), None)
    place = url or os.environ.get(URL_VARIABLE) or (known.url if known else DEFAULT_URL)
    if not is_link(place):
        raise UsageProblem(f"{place} is no address: it begins with https:// or http://")
    if with_token:
        tokens = _given()
    elif device or not (no_browser or _has_browser()):
        tokens = _by_code(place, alone=device)
    else:
        tokens = _through_browser(place, elsewhere=no_browser)
    with Hub(place, tokens.access_token, agent="(+cli)") as hub:
        email = hub.whoami()
    profile = Profile(name=name, url=place.rstrip("/"), email=email, store=_store())
    try:
        profiles.keep(profile, tokens)
    except Exception:
        # A keyring that is there, and refuses.
        if profile.store == FILE:
            raise
        profile = Profile(name=name, url=profile.url, email=email, store=FILE)
        profiles.keep(profile, tokens)
    if profile.store == FILE:
        print(f"nbhub: no keyring here; the tokens are in {profiles.directory}/tokens", file=sys.stderr)
    print(f"signed in at {profile.url} as {email}", file=sys.stderr)


def logout(*, common: Common = COMMON) -> None:
    """Sign out: the session ends, and its tokens are forgotten."""
    profiles = Profiles()
    profile = profiles.find(common.profile)
    tokens = None if profile is None else profiles.tokens(profile)
    if profile is None or tokens is None:
        print("nbhub: nobody is signed in here", file=sys.stderr)
        return
    profiles.forget_tokens(profile)
    if tokens.id_token:
        with Hub(profile.url, agent="(+cli)") as hub:
            # Where the provider's own session ends has the token in it, and is for a browser.
            hub.sign_in.end(tokens.id_token)
    print("signed out; the browser may still be signed in at the provider", file=sys.stderr)


def whoami(*, common: Common = COMMON) -> None:
    """Show who one is, and where."""
    with common.hub() as hub:
        if common.json:
            common.show(hub.me())
        else:
            print(hub.whoami())
            print(f"at {hub.url}", file=sys.stderr)


def profiles(
    *,
    use: Annotated[str | None, Option("the profile that is meant from now on, where none is named")] = None,
    common: Common = COMMON,
) -> None:
    """Show where one is signed in: the profiles, and which of them is meant where none is named."""
    kept = Profiles()
    if use is not None:
        kept.use(use)
    known = kept.all()
    if common.json:
        print_json(known)
    else:
        print_table(known, ["name", "url", "email", "store"])
        print(f"meant where none is named: {kept.current() or '-'}", file=sys.stderr)


def _given() -> Tokens:
    token = sys.stdin.readline().strip()
    if not token:
        raise UsageProblem("there is no token on stdin")
    given = {"access_token": token, "id_token": "", "scope": "", "token_type": "Bearer"}
    return msgspec.convert({**given, "expires_at": 0, "expires_in": 0}, Tokens)


def _store() -> str:
    """Where tokens are kept on this machine."""
    try:
        import keyring

        return KEYRING if keyring.get_keyring().priority >= 1 else FILE
    except Exception:
        # Whatever is wrong with it: there is none.
        return FILE


def _has_browser() -> bool:
    """Whether a browser of this machine is before whoever types."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _by_code(url: str, *, alone: bool) -> Tokens:
    """Sign in by a code that is typed elsewhere; unless `alone`, by a browser elsewhere if there are no codes."""
    with Hub(url, agent="(+cli)") as hub:
        try:
            begun = hub.sign_in.begin_on_device()
        except Conflict as refusal:
            if not alone:
                return _through_browser(url, elsewhere=True)
            raise NotebooksHubError(
                f"the sign-in provider of {url} gives no codes to type elsewhere\n  Sign in with a browser of any "
                "machine: nbhub login --no-browser, or with a token: nbhub login --with-token"
            ) from refusal
        if not is_link(begun.verification_uri):
            raise NotebooksHubError(f"{url} sends browsers to no address")
        print(f"Open  {begun.verification_uri}  in a browser of any machine, and type", file=sys.stderr)
        print(f"  {word(begun.user_code)}", file=sys.stderr)
        if begun.verification_uri_complete and is_link(begun.verification_uri_complete):
            print(f"or open  {begun.verification_uri_complete}", file=sys.stderr)
        try:
            return hub.sign_in.complete_on_device(begun)
        except Invalid as refusal:
            minutes = begun.expires_in / 60
            raise NotebooksHubError(f"nobody has signed in within {minutes:.0f} minutes: begin again") from refusal


def _through_browser(url: str, *, elsewhere: bool) -> Tokens:
    with _Listener() as listener, Hub(url, agent="(+cli)") as hub:
        try:
            address = hub.sign_in.begin(listener.address)
        except Invalid as refusal:
            raise NotebooksHubError(
                f"{url} lets no program sign in by a browser: NBHUB_OIDC_REDIRECT_URIS there has to have "
                f"http://127.0.0.1{CALLBACK}. A token does too: nbhub login --with-token"
            ) from refusal
        if not is_link(address):
            raise NotebooksHubError(f"{url} sends browsers to no address")
        print(f"Sign in at\n  {address}", file=sys.stderr, flush=True)
        if elsewhere:
            print("and paste here the address at which the browser ends:", file=sys.stderr, flush=True)
        else:
            import webbrowser

            webbrowser.open(address)
        listener.state = parse_qs(urlsplit(address).query).get("state", [""])[0]
        code = listener.code(time.monotonic() + _MINUTES * 60, pasted=elsewhere)
        return hub.sign_in.complete(code, listener.state)


class _Listener(HTTPServer):
    """Takes the browser back, on a port of this machine alone."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.timeout = 1
        self.state = ""
        self.found: str | None = None
        self.refused: str | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that has closed the page: what it brought is taken by then."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}{CALLBACK}"

    def code(self, deadline: float, *, pasted: bool) -> str:
        """The code of the sign-in of this state, also if its address is pasted. Raises `NotebooksHubError`."""
        while self.found is None and self.refused is None:
            if time.monotonic() > deadline:
                raise NotebooksHubError(f"nobody has signed in within {_MINUTES} minutes")
            if pasted:
                self._look_at_both()
            else:
                self.handle_request()
        if self.found is None:
            raise NotebooksHubError(f"the sign-in was refused: {self.refused}")
        return self.found

    def take(self, address: str) -> bool:
        """Have what the browser came back with; whether it is of this sign-in."""
        values = {name: one[0] for name, one in parse_qs(urlsplit(address).query).items()}
        if not secrets.compare_digest(values.get("state", "").encode(), self.state.encode()):
            return False
        if "code" in values:
            self.found = values["code"]
        else:
            self.refused = "".join(one for one in values.get("error", "no code") if one.isprintable())
        return True

    def _look_at_both(self) -> None:
        """Take the browser back, or a line that is pasted, whatever comes first within a second."""
        readable, _, _ = select.select([self, sys.stdin], [], [], 1)
        if self in readable:
            self.handle_request()
        elif readable:
            line = sys.stdin.readline()
            if not line:
                raise NotebooksHubError("there was no address on stdin")
            if line.strip() and not self.take(line.strip()):
                print("that is no address of this sign-in: it begins with", self.address, file=sys.stderr, flush=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Listener

    def do_GET(self) -> None:
        if urlsplit(self.path).path != CALLBACK or not self.server.take(self.path):
            # Some other page of this browser may ask anything of this port.
            self._answer(404, b"There is nothing here.")
        elif self.server.found is not None:
            self._answer(200, b"You are signed in.")
        else:
            self._answer(200, b"The sign-in was refused.")

    def _answer(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(_PAGE % text)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing: the code is in the address."""
