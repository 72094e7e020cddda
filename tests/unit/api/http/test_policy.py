"""Every route says who may use it, and is used by nobody else."""

import pytest
from litestar import get

from api.app import assemble
from api.http.policy import Policy, PolicyMissing, needs
from models.domain.settings import Settings
from tests.unit.api.bench import Bench, Client


@get("/silent", sync_to_thread=False)
def silent() -> None:
    """A route without a policy."""


@get("/public", opt=needs(Policy.PUBLIC), sync_to_thread=False)
def public() -> str:
    """For everybody."""
    return "public"


@get("/own", opt=needs(Policy.SIGNED_IN), sync_to_thread=False)
def own() -> str:
    """For whoever is signed in."""
    return "own"


@get("/admin", opt=needs(Policy.ADMIN), sync_to_thread=False)
def admin() -> str:
    """For admins."""
    return "admin"


def test_an_application_with_a_silent_route_does_not_start() -> None:
    with pytest.raises(PolicyMissing, match="GET /silent"):
        assemble([public, silent], settings=Settings(database_url="postgresql:///unused"))


@pytest.mark.parametrize(
    ("caller", "statuses"), [(None, [200, 401, 401]), ("alice", [200, 200, 403]), ("admin", [200, 200, 200])]
)
async def test_policies(bench: Bench, caller: str | None, statuses: list[int]) -> None:
    api = bench.api([public, own, admin])
    client = api.person(caller) if caller else api.nobody
    assert [(await client.get(path)).status_code for path in ("/public", "/own", "/admin")] == statuses


async def test_a_route_that_no_authentication_looked_at_is_closed() -> None:
    app = assemble([own], settings=Settings(database_url="postgresql:///unused"))
    answer = await Client(app).get("/own")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
