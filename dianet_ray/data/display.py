"""Dynamic images as pictures for people: the report page and, with `--log-faces`, MLflow."""

from __future__ import annotations

import cv2
import numpy as np


def png(image: np.ndarray) -> bytes:
    """Render a dynamic image as PNG, no motion at mid grey.

    Args:
        image: (H, W, 3) RGB floats of any scale; the largest magnitude becomes black or white.
    """
    values = np.asarray(image, dtype=np.float64)
    largest = np.abs(values).max()
    scaled = values / largest if largest else values
    pixels = np.round(127.5 + 127.5 * scaled).astype(np.uint8)
    _, encoded = cv2.imencode(".png", pixels[..., ::-1])
    return encoded.tobytes()
