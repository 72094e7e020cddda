"""JupyterHub as in production but for the sign-in: these tests need no provider."""

from hub.configuration import configure
from hub.settings import HubSettings

c = get_config()  # type: ignore[name-defined]  # noqa: F821 -- JupyterHub defines it
configure(c, HubSettings.from_environment())
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
