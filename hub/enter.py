"""Runs a program with further variables: `enter.py FILE PROGRAM ARGUMENT…`. The file is a JSON object of them.

This file runs inside the server, with Python alone: nothing of this project is there.
"""

import json
import os
import sys

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        os.environ.update(json.load(file))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 -- what this file is for
