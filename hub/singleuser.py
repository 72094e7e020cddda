"""Starts `jupyterhub-singleuser`, without an import that takes longer than all others together.

jsonschema, when it finds `rfc3987_syntax`, compiles that package's grammar at import: 2.7 of 4.8 seconds until a
server answered. It only serves a format ("iri") that no schema of Jupyter has, and is optional. This file runs
inside the server.
"""

import sys

# An entry of None makes the import fail as if the package were not installed.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

from jupyterhub.singleuser import main  # noqa: E402 -- after the line above

if __name__ == "__main__":
    main()
