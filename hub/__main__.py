"""Starts JupyterHub with our configuration: `python -m hub`, as `jupyterhub -f hub/jupyterhub_config.py` but sooner.

Arguments, if there are any, are JupyterHub's; then the configuration is among them. See `hub.singleuser` for
the import that is left out, and why.
"""

import sys
from pathlib import Path

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

from jupyterhub.app import main  # noqa: E402 -- after the line above

if __name__ == "__main__":
    main(sys.argv[1:] or ["-f", str(Path(__file__).with_name("jupyterhub_config.py"))])
