"""JupyterHub's sign-in takes the name from our API, and the endpoints from the provider's discovery."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from tornado import web
from traitlets.config import Config

from hub.authenticator import NotebooksHubAuthenticator, configure_sign_in, discover, name_session
from hub.settings import HubSettings
from models.domain.environment import SettingsInvalid
from models.domain.logins import hub_session_of

Answers = dict[str, tuple[int, Any]]


@contextmanager
def serving(answers: Answers) -> Iterator[tuple[str, list[str]]]:
    """A server with these answers by path, and the bearer tokens that it was shown."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            status, content = answers.get(self.path, (404, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


async def who(answers: Answers) -> Any:
    with serving(answers) as (url, seen):
        authenticator = NotebooksHubAuthenticator(api_url=url)
        found = await authenticator.token_to_user({"access_token": "the-token", "token_type": "Bearer"})
        assert seen == ["Bearer the-token"]
        return found


async def test_the_api_says_who_it_is() -> None:
    assert await who({"/whoami/jupyterhub": (200, "alice-0a1b2c3d4e5f")}) == {"name": "alice-0a1b2c3d4e5f"}


@pytest.mark.parametrize(
    ("status", "content", "expected", "said"),
    [
        (403, {"error": {"message": "The e-mail is not verified."}}, 403, "not verified"),
        (401, {}, 403, "administrator"),
        (500, {}, 503, "try again"),
        (200, {"name": "alice"}, 502, "did not say"),
        (200, "", 502, "did not say"),
    ],
)
async def test_without_its_word_nobody_comes_in(status: int, content: Any, expected: int, said: str) -> None:
    with pytest.raises(web.HTTPError) as refusal:
        await who({"/whoami/jupyterhub": (status, content)})
    assert refusal.value.status_code == expected
    assert said in str(refusal.value.get_message())


class Browser:
    """What a sign-in does to a browser's session."""

    _session_id = "what JupyterHub made up"
    kept = ""

    def set_session_cookie(self) -> None:
        self.kept = self._session_id


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"sid": "the provider's"}, hub_session_of("provider:the provider's")),
        ({"sid": ""}, ""),
        ({"sid": 7}, ""),
        ({}, ""),
    ],
)
def test_a_session_has_the_name_of_the_providers_if_that_has_one(claims: dict[str, Any], named: str) -> None:
    id_token = jwt.encode(claims, "x" * 32)
    browser, signed_in = Browser(), {"name": "alice", "auth_state": {"id_token": id_token}}
    assert name_session(None, browser, signed_in) is signed_in
    assert browser.kept == named


@pytest.mark.parametrize(
    "signed_in", [None, {"name": "alice"}, {"auth_state": None}, {"auth_state": {"id_token": "x"}}]
)
def test_a_sign_in_without_an_id_token_leaves_the_session_as_it_is(signed_in: dict[str, Any] | None) -> None:
    browser = Browser()
    assert name_session(None, browser, signed_in) is signed_in
    assert browser.kept == ""


async def test_an_api_that_is_away_is_said_so() -> None:
    authenticator = NotebooksHubAuthenticator(api_url="http://127.0.0.1:1")
    with pytest.raises(web.HTTPError) as refusal:
        await authenticator.token_to_user({"access_token": "t"})
    assert refusal.value.status_code == 503


def test_endpoints_are_discovered() -> None:
    answers: Answers = {}
    with serving(answers) as (issuer, _):
        answers["/.well-known/openid-configuration"] = (
            200,
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/auth",
                "token_endpoint": f"{issuer}/token",
                "end_session_endpoint": f"{issuer}/end",
            },
        )
        settings = HubSettings.from_environment(
            {
                "NBHUB_HUB_DATA_DIR": "/none",
                "NBHUB_HUB_BIND_URL": "http://hub:8000/",
                "NBHUB_HUB_OIDC_ISSUER": issuer,
                "NBHUB_HUB_OIDC_CLIENT_SECRET": "secret",
                "NBHUB_HUB_OIDC_SCOPES": "openid email organization",
                "NBHUB_API_URL": "http://api/",
            }
        )
        c = Config()
        configure_sign_in(c, settings)
        found = c.NotebooksHubAuthenticator
        assert found.token_url == f"{issuer}/token"
        assert found.oauth_callback_url == "http://hub:8000/hub/oauth_callback"
        assert found.scope == ["openid", "email", "organization"]
        assert found.enable_pkce
        assert not found.enable_auth_state
        assert found.logout_redirect_url.startswith(f"{issuer}/end?")


def test_a_provider_that_names_another_issuer_is_not_ours() -> None:
    answers: Answers = {"/.well-known/openid-configuration": (200, {"issuer": "https://other"})}
    with serving(answers) as (issuer, _), pytest.raises(SettingsInvalid, match="another issuer"):
        discover(issuer)
    with pytest.raises(SettingsInvalid, match="http"):
        discover("file:///etc")
    with pytest.raises(SettingsInvalid, match="no OpenID Connect discovery"):
        discover("http://127.0.0.1:1", patience=0)
