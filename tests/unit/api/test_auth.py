"""Where a sign-in may come back to."""

import pytest

from api.signing_in import redirect_uri_of
from models.domain.errors import RequestInvalid
from models.domain.settings import Settings

PAGE, PROGRAMS, OWN = "https://hub.example.org/callback", "http://127.0.0.1/callback", "http://127.0.0.1:8002/own"
SETTINGS = Settings(
    database_url="postgresql:///nowhere", oidc_redirect_uris=(PAGE, PROGRAMS, "http://[::1]/callback", OWN)
)


@pytest.mark.parametrize(
    "address",
    [PAGE, PROGRAMS, OWN, "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback", "http://[::1]:80/callback"],
)
def test_a_program_on_the_browsers_machine_comes_back_on_any_port(address: str) -> None:
    assert redirect_uri_of(SETTINGS, address) == address


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8003/own",  # a port was configured: that one alone
        "http://127.0.0.1:80/elsewhere",
        "http://127.0.0.1:80/callback?next=https://mallory.test",
        "http://127.0.0.1:80/callback/",
        "http://127.0.0.1:80@mallory.test/callback",
        "http://127.0.0.1:x/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:٣/callback",
        "http://localhost:80/callback",
        "http://127.0.0.1.mallory.test:80/callback",
        "https://127.0.0.1:80/callback",
        "https://hub.example.org:8443/callback",
        "http://127.0.0.1:80/callback\n",
    ],
)
def test_nothing_else_is_let_through_by_that(address: str) -> None:
    with pytest.raises(RequestInvalid):
        redirect_uri_of(SETTINGS, address)


def test_no_program_comes_back_where_none_is_configured() -> None:
    with pytest.raises(RequestInvalid):
        redirect_uri_of(
            Settings(database_url="postgresql:///nowhere", oidc_redirect_uris=(PAGE,)), "http://127.0.0.1:80/callback"
        )
    with pytest.raises(RequestInvalid):
        redirect_uri_of(Settings(database_url="postgresql:///nowhere"), None)
