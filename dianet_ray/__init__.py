"""Distributed cross-validation and hyper-parameter search for DIANet (arXiv 2510.12219)."""

__version__ = "0.1.0"

import os as _os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dianet_ray.settings import Settings as Settings

# What decoders print of a damaged file comes beside our one line; read when cv2 is imported.
_os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
_os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def __getattr__(name: str) -> Any:
    """Import `Settings`, which network files extend, when it is asked for."""
    if name != "Settings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dianet_ray.settings import Settings

    return Settings
