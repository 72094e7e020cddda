"""JupyterHub's page of a server that is starting, for people who may use it but not start it.

JupyterHub shows its own only to who may start and stop servers, and refuses everybody else.
"""

from jupyterhub import handlers
from jupyterhub.handlers import BaseHandler
from tornado import web


class Starting(BaseHandler):  # type: ignore[misc]  # JupyterHub has no types
    """Says what becomes of a start, until there is the server itself to lead to."""

    @web.authenticated
    async def get(self, user_name: str, server_name: str) -> None:
        user = self.find_user(user_name)
        may_use = self.has_scope(f"access:servers!server={user_name}/{server_name}")
        if user is None or not may_use or server_name not in user.orm_user.orm_spawners:
            raise web.HTTPError(404, "No access to resources or resources not found")
        spawner = user.spawners[server_name]
        if spawner.ready:
            self.redirect(self.get_next_url(default=user.server_url(server_name)))
            return
        self.set_status(503)
        page = await self.render_template("not_running.html", starting=spawner.pending == "spawn")
        self.finish(page)


def install() -> None:
    """Put our pages before JupyterHub's own of the same address; to be called before it starts."""
    handlers.default_handlers.insert(0, (r"/spawn-pending/([^/]+)/([^/]+)", Starting))
