"""Ends people's sessions in JupyterHub.

A session is a browser's. What it shows to servers are tokens, each of which names the session in which it was given
out; what it shows to the hub is a cookie that all sessions of a person share.
"""

from jupyterhub import orm
from jupyterhub.apihandlers import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web


class SessionsHandler(APIHandler):  # type: ignore[misc]  # JupyterHub has no types
    """`DELETE /hub/api/users/{name}/sessions` with `{"kept": [session id]}`: ends all others.

    Kept sessions go on in servers; at the hub they need a new cookie, which a sign-in gives. Servers run on, and tokens
    that are of no session stay: a person's own, and those of servers. Nothing is to be done for who is unknown.
    """

    @needs_scope("admin:users")  # type: ignore[untyped-decorator]
    async def delete(self, user_name: str) -> None:
        kept = (self.get_json_body() or {}).get("kept")
        if not isinstance(kept, list) or not all(isinstance(one, str) for one in kept):
            raise web.HTTPError(400, "kept: must be a list of session ids")
        user = orm.User.find(self.db, user_name)
        if user is not None:
            # A code becomes a token in a moment.
            for kind in (orm.APIToken, orm.OAuthCode):
                theirs = self.db.query(kind).filter(kind.user_id == user.id, kind.session_id.is_not(None))
                for one in theirs.filter(kind.session_id.not_in(kept)):
                    self.db.delete(one)
            user.cookie_id = orm.new_token()
            self.db.commit()
        self.set_status(204)
