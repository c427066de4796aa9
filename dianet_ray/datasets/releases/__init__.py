"""One module per data set; its name is the data set's name. Nothing else lists them.

A module defines RELEASE. Published corrections lie beside it as `<name>_corrections.csv`.
Importing this package imports no release, so the command line can list the names cheaply.
"""

from __future__ import annotations

import pkgutil

DATASETS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""The names of all data sets."""
