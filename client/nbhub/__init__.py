"""The Python client of Notebooks Hub.

    from nbhub import Hub

    hub = Hub()                               # after `nbhub login`, or with NBHUB_URL and NBHUB_TOKEN
    hub.servers.start("lab").open()           # waits until it runs, and shows it
    hub.datasets.share("ice", users="bob@example.org").wait()

`AsyncHub` has the same with `await`. Errors are in `nbhub.errors`, records in `nbhub.models`.
"""

from nbhub.version import __version__

TYPE_CHECKING = False
"""For type checkers, to whom it is true; `typing` takes as long as the rest of a short command."""
if TYPE_CHECKING:
    from nbhub.asynchronous.hub import AsyncHub
    from nbhub.errors import ApiError, NotebooksHubError, OperationFailed, OperationTimedOut
    from nbhub.synchronous.hub import Hub

__all__ = ["ApiError", "AsyncHub", "Hub", "NotebooksHubError", "OperationFailed", "OperationTimedOut", "__version__"]

_WHERE = {
    "Hub": "nbhub.synchronous.hub",
    "AsyncHub": "nbhub.asynchronous.hub",
    **dict.fromkeys(("ApiError", "NotebooksHubError", "OperationFailed", "OperationTimedOut"), "nbhub.errors"),
}


def __getattr__(name: str) -> object:
    # The command line starts without all of it.
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
