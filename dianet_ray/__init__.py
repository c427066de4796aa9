"""Distributed cross-validation and hyper-parameter search for DIANet (arXiv 2510.12219)."""

__version__ = "0.1.0"

import os as _os

# What decoders print of a damaged file comes beside our one line; read when cv2 is imported.
_os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
_os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
