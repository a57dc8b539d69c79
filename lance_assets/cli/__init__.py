"""The command line. An older Python is told here, before any module that it could not even parse is imported."""

import sys

OLDEST_PYTHON = (3, 11)

if sys.version_info < OLDEST_PYTHON:
    sys.stderr.write(f"lance-assets: needs Python 3.11, this is {sys.version.split()[0]}\n")
    sys.exit(2)
