"""Starts `jupyterhub-singleuser` without two things at import that only take time. Runs inside the server.

- jsonschema, when it finds `rfc3987_syntax`, compiles that package's grammar: 2.7 of 4.8 seconds until a server
  answered. It serves a format ("iri") that no schema of Jupyter has, and is optional.
- jupyterlab, when it finds Node, asks yarn for its configuration: 0.5 seconds. That is for building extensions.
"""

import contextlib
import importlib
import os
import sys

# An entry of None makes the import fail as if the package were not installed.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
search_path = os.environ.pop("PATH", os.defpath)
os.environ["PATH"] = os.devnull
# A server without JupyterLab is as good.
with contextlib.suppress(ImportError):
    importlib.import_module("jupyterlab.labapp")
os.environ["PATH"] = search_path

from jupyterhub.singleuser import main  # noqa: E402 -- after the lines above

if __name__ == "__main__":
    main()
