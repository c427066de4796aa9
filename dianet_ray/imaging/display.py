"""Dynamic images as pictures for people: the report page and, with `--log-faces`, MLflow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def pixels(image: np.ndarray) -> NDArray[np.uint8]:
    """Render a dynamic image as (H, W, 3) uint8 RGB, no motion at mid grey.

    Args:
        image: (H, W, 3) RGB floats of any scale; the largest magnitude becomes black or white.
    """
    values = np.asarray(image, dtype=np.float64)
    largest = np.abs(values).max()
    scaled = values / largest if largest else values
    return np.round(127.5 + 127.5 * scaled).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """Render a dynamic image as the PNG of its `pixels`."""
    _, encoded = cv2.imencode(".png", pixels(image)[..., ::-1])
    return encoded.tobytes()
