"""What ends with a session in JupyterHub, in its own tables. In a browser: `tests/e2e/test_sign_out.py`."""

from typing import Any

import pytest
from jupyterhub import orm
from tornado import web

from hub.sessions import SessionsHandler

Rows = dict[str, Any]


class Request:
    """What the handler needs of itself."""

    def __init__(self, db: Any, body: object) -> None:
        self.db, self._body, self.status = db, body, 0

    def get_json_body(self) -> object:
        return self._body

    def set_status(self, status: int) -> None:
        self.status = status


async def end(db: Any, user: str, body: object) -> int:
    request = Request(db, body)
    # Past the check of scopes.
    await SessionsHandler.delete.__wrapped__(request, user)
    return request.status


@pytest.fixture
def db() -> Any:
    session = orm.new_session_factory("sqlite:///:memory:")()
    session.add(orm.OAuthClient(identifier="a-server"))
    for name in ("alice", "bob"):
        user = orm.User(name=name)
        session.add(user)
        session.flush()
        for where in ("here", "elsewhere", None):
            token = orm.APIToken(user=user, session_id=where, client_id="a-server", note=f"{name} {where}")
            session.add(token)
            session.add(orm.OAuthCode(user=user, session_id=where, client_id="a-server", code=f"{name} {where}"))
    session.commit()
    yield session
    session.close()


def left(db: Any) -> set[str]:
    """The tokens and codes that there are."""
    tokens = {token.note for token in db.query(orm.APIToken)}
    assert {code.code for code in db.query(orm.OAuthCode)} == tokens
    return tokens


BOBS = {"bob here", "bob elsewhere", "bob None"}


@pytest.mark.parametrize(
    ("kept", "stays"), [(["elsewhere", "unknown"], {"alice elsewhere", "alice None"}), ([], {"alice None"})]
)
async def test_all_sessions_end_but_those_that_are_kept_and_no_token_of_another_kind(
    db: Any, kept: list[str], stays: set[str]
) -> None:
    cookies = {user.name: user.cookie_id for user in db.query(orm.User)}
    for _ in range(2):
        assert await end(db, "alice", {"kept": kept}) == 204
        assert left(db) == stays | BOBS
    now = {user.name: user.cookie_id for user in db.query(orm.User)}
    assert now["bob"] == cookies["bob"]
    assert now["alice"] != cookies["alice"], "the hub's own pages ask for a sign-in"


async def test_of_who_is_unknown_nothing_is_left_to_be_ended(db: Any) -> None:
    before = left(db)
    assert await end(db, "carol", {"kept": []}) == 204
    assert left(db) == before


@pytest.mark.parametrize("body", [None, {}, {"kept": "here"}, {"kept": [7]}])
async def test_what_does_not_say_what_is_kept_ends_nothing(db: Any, body: object) -> None:
    before = left(db)
    with pytest.raises(web.HTTPError) as refusal:
        await end(db, "alice", body)
    assert refusal.value.status_code == 400
    assert left(db) == before
