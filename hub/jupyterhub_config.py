"""JupyterHub's configuration file: everything comes from the environment, see `hub.settings`."""

import sys
from pathlib import Path

# JupyterHub runs this file by its path, from any directory.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hub.authenticator import configure_sign_in
from hub.configuration import configure
from hub.settings import HubSettings

settings = HubSettings.from_environment()
configure(get_config(), settings)  # type: ignore[name-defined]  # noqa: F821 -- JupyterHub defines it
configure_sign_in(get_config(), settings)  # type: ignore[name-defined]  # noqa: F821
