"""What Kubernetes and docker have in common: a server is one container of its application's image."""

from pathlib import PurePosixPath

from hub.order import Order, check_mount_targets
from hub.program import DASHBOARD, ISOLATED, load_modules
from models.domain.profiles import HOME
from models.domain.server_spec import Mount

# Labels by which the truth service finds what the spawner made.
SERVER_ID_LABEL, GENERATION_LABEL = "notebooks-hub/server-id", "notebooks-hub/generation"
HUB_USER_LABEL, HUB_NAME_LABEL = "notebooks-hub/hub-user", "notebooks-hub/hub-name"


def labels(order: Order) -> dict[str, str]:
    """Return the labels that say whose container it is; the values fit Kubernetes' rules."""
    return {SERVER_ID_LABEL: order.spec.server_id, GENERATION_LABEL: str(order.spec.generation)}


def names(order: Order) -> dict[str, str]:
    """Return what JupyterHub calls the server; for annotations, since an e-mail is no label's value."""
    return {HUB_USER_LABEL: order.spec.hub_user, HUB_NAME_LABEL: order.spec.hub_name}


def mounts(order: Order) -> tuple[Mount, ...]:
    """Return all that is mounted, the home first."""
    check_mount_targets(order.spec.mounts)
    return (Mount(source=order.spec.home, target=str(HOME), read_only=False, kind="home"), *order.spec.mounts)


def command(order: Order, base_url: str, lmod: str) -> list[str]:
    """Return the container's command. Our proxy of web programs is given as text: no image has to hold it.

    `lmod` is where the image has Lmod's start-up file for bash.
    """
    plain = order.command(_values(order, base_url), ("python3", *ISOLATED, "-c", DASHBOARD.read_text()))
    return list(load_modules(plain, lmod) if order.spec.modules else plain)


def environment(order: Order, base_url: str) -> dict[str, str]:
    """Return the application's environment variables."""
    return order.environment(_values(order, base_url))


def literal(text: str) -> str:
    """Return `text` so that a spawner's own templates (`{username}`) leave it as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def _values(order: Order, base_url: str) -> dict[str, str]:
    values = {"base_url": base_url}
    if order.file_path:
        path = PurePosixPath(order.file_path)
        values["file"] = str(path)
        # The hub cannot look into the volume: what may be a file by its name is taken for one.
        application = order.application
        is_file = application.opens_file(path.name) if application.file_suffixes else bool(path.suffix)
        values["directory"] = str(path.parent if is_file else path)
    return values
