"""JupyterHub's sign-in: the OpenID Connect provider says that somebody signed in, our API says who that is.

The rules of identity (verified e-mail, who holds an address, who was released) live in the API alone. So this
hands the access token to `GET /whoami/jupyterhub` and takes the name that comes back: it is not the e-mail, which may
be given to somebody else.
"""

import json
import time
import urllib.error
import urllib.request
from typing import Any

import jwt
from oauthenticator.generic import GenericOAuthenticator
from tornado import web
from tornado.httpclient import HTTPClientError
from tornado.httputil import url_concat
from traitlets import Unicode

from hub.sessions import SessionsHandler
from hub.settings import HubSettings
from models.domain.environment import SettingsInvalid
from models.domain.logins import hub_session_of, login_of

_DISCOVERY_PATIENCE_SECONDS = 60
_REQUEST_SECONDS = 5


class NotebooksHubAuthenticator(GenericOAuthenticator):  # type: ignore[misc]  # has no types
    """Signs people in under the name that the API knows them by."""

    api_url = Unicode(help="Base URL of the Notebooks Hub API.").tag(config=True)

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Ask the API whose access token this is."""
        try:
            name = await self.httpfetch(
                f"{self.api_url}/whoami/jupyterhub",
                label="Asking the API who this is",
                headers={"Authorization": f"Bearer {token_info['access_token']}", "Accept": "application/json"},
                request_timeout=_REQUEST_SECONDS,
            )
        except HTTPClientError as problem:
            raise _refusal(problem) from None
        except OSError:
            raise web.HTTPError(503, "Notebooks Hub does not answer: please try again in a moment") from None
        if not isinstance(name, str) or not name:
            raise web.HTTPError(502, "Notebooks Hub did not say who this is")
        return {"name": name}

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """Add the way out to the ways in."""
        return [*super().get_handlers(app), (r"/api/users/([^/]+)/sessions", SessionsHandler)]


def name_session(_authenticator: Any, handler: Any, signed_in: dict[str, Any] | None) -> dict[str, Any] | None:
    """Give the browser's session the name by which a logout in the API ends it, where the provider gives it one."""
    id_token = ((signed_in or {}).get("auth_state") or {}).get("id_token")
    try:
        # It comes from the provider itself.
        claims = jwt.decode(id_token, options={"verify_signature": False}) if id_token else {}
    except jwt.InvalidTokenError:
        claims = {}
    login = login_of(claims)
    if login is not None:
        # What JupyterHub would make up.
        handler._session_id = hub_session_of(login)
        handler.set_session_cookie()
    return signed_in


def _refusal(problem: HTTPClientError) -> web.HTTPError:
    if problem.code in (401, 403):
        return web.HTTPError(403, "Notebooks Hub does not accept this account: %s", _message(problem))
    return web.HTTPError(503, "Notebooks Hub does not answer: please try again in a moment")


def _message(problem: HTTPClientError) -> str:
    """Return the sentence in the API's error, if it has one."""
    body = problem.response.body if problem.response is not None else b""
    try:
        return str(json.loads(body)["error"]["message"])
    except (KeyError, TypeError, ValueError):
        return "ask an administrator"


def configure_sign_in(c: Any, settings: HubSettings) -> None:
    """Let people sign in with the provider, whose endpoints are found by discovery."""
    if not settings.oidc_issuer or not settings.api_url:
        raise SettingsInvalid("NBHUB_HUB_OIDC_ISSUER and NBHUB_API_URL are required")
    provider = discover(settings.oidc_issuer)
    c.JupyterHub.authenticator_class = NotebooksHubAuthenticator
    authenticator = c.NotebooksHubAuthenticator
    authenticator.api_url = settings.api_url.rstrip("/")
    authenticator.client_id = settings.oidc_client_id
    authenticator.client_secret = settings.oidc_client_secret
    authenticator.authorize_url = provider["authorization_endpoint"]
    authenticator.token_url = provider["token_endpoint"]
    authenticator.oauth_callback_url = f"{settings.browser_url}/hub/oauth_callback"
    authenticator.scope = settings.oidc_scopes.split()
    authenticator.username_claim = "name"
    authenticator.login_service = "Notebooks Hub"
    authenticator.enable_pkce = True
    # Whoever the API names may come in; it refuses the others itself.
    authenticator.allow_all = True
    # There is one way in, so no page to choose it.
    authenticator.auto_login = True
    authenticator.post_auth_hook = name_session
    # No token of a person is kept here.
    authenticator.enable_auth_state = False
    authenticator.auth_refresh_age = 0
    if "end_session_endpoint" in provider:
        authenticator.logout_redirect_url = url_concat(
            provider["end_session_endpoint"], {"client_id": settings.oidc_client_id}
        )


def discover(issuer: str, patience: float = _DISCOVERY_PATIENCE_SECONDS) -> dict[str, Any]:
    """Return the provider's metadata; it may still be starting, so this tries for a while."""
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    if not url.startswith(("https://", "http://")):
        raise SettingsInvalid("NBHUB_HUB_OIDC_ISSUER must be an http or https URL")
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=_REQUEST_SECONDS) as answer:  # noqa: S310 -- checked above
                metadata: dict[str, Any] = json.load(answer)
            break
        except (OSError, ValueError) as problem:
            if time.monotonic() > deadline:
                raise SettingsInvalid(f"no OpenID Connect discovery at {url}: {problem}") from None
            time.sleep(0.5)
    if metadata.get("issuer") != issuer:
        raise SettingsInvalid(f"{url} names another issuer: {metadata.get('issuer')!r}")
    return metadata
