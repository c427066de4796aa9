"""One YAML file per data set that `synth` can write; nothing else lists them.

`layout.py` says what a file may contain. Importing this package reads no file, so the command line
can list the names cheaply.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
LAYOUTS = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
"""The names of all layouts."""
