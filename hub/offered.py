"""What of the profiles no server can be started with at this JupyterHub, and why.

Spawners refuse by it; the truth service tells it, so that people hear of it before they choose.
"""

import importlib.util
import shutil

from hub.order import Order, OrderRefused
from hub.program import SEARCH_PATH
from models.domain.profiles import Application, Hardware, Profiles, Unavailable

_ON_THIS_MACHINE = ("bubblewrap", "local")
_WITHOUT_A_SANDBOX = (
    "This JupyterHub starts servers without a sandbox (bubblewrap), and then notebooks on processors only"
)


def check_offered(order: Order, spawner: str) -> None:
    """Refuse an order whose application or hardware this spawner has none of."""
    if reason := why_not_hardware(order.hardware, spawner):
        raise OrderRefused("hardware-refused", reason)
    if reason := why_not_application(order.application, spawner):
        raise OrderRefused("program-missing", reason)


def unavailable(profiles: Profiles, spawner: str) -> Unavailable:
    """All that would be refused, whatever else a server has."""
    applications = {name: why_not_application(one, spawner) for name, one in profiles.applications.items()}
    hardware = {name: why_not_hardware(one, spawner) for name, one in profiles.hardware.items()}
    return Unavailable(
        applications={name: reason for name, reason in applications.items() if reason},
        hardware={name: reason for name, reason in hardware.items() if reason},
    )


def why_not_application(application: Application, spawner: str) -> str:
    """Why this spawner starts no server with it, for people; empty if it does."""
    if spawner not in _ON_THIS_MACHINE:
        return "" if application.image else f"{application.title} has no container image in the profiles file"
    if spawner == "local" and application.needs_file:
        return _WITHOUT_A_SANDBOX
    missing = [name for name in application.python_modules if importlib.util.find_spec(name) is None]
    if shutil.which(application.command[0], path=SEARCH_PATH) is None:
        missing.insert(0, application.command[0])
    if not missing:
        return ""
    return f"{application.title} cannot run here: {', '.join(missing)} is not installed on this machine"


def why_not_hardware(hardware: Hardware, spawner: str) -> str:
    """Why this spawner starts no server with it, for people; empty if it does."""
    if not hardware.gpu or spawner not in _ON_THIS_MACHINE:
        return ""
    if spawner == "local":
        return _WITHOUT_A_SANDBOX
    return "Sandboxes of this machine have no GPU: choose other hardware"
