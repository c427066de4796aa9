"""Dynamic images as pictures to look at, on the report page and, with `--log-faces`, in MLflow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def pixels(image: np.ndarray) -> NDArray[np.uint8]:
    """Render a dynamic image as (H, W, 3) uint8 RGB, in which mid grey means no motion.

    Args:
        image: (H, W, 3) RGB floats of any scale; the largest magnitude becomes black or white.
    """
    values = np.asarray(image, dtype=np.float64)
    # Symmetric about 0: min-max would put "no motion" on a grey that differs from clip to clip.
    largest = np.abs(values).max()
    scaled = values / largest if largest else values
    return np.round(127.5 + 127.5 * scaled).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """Encode the `pixels` of a dynamic image as PNG."""
    _, encoded = cv2.imencode(".png", pixels(image)[..., ::-1])  # OpenCV writes BGR
    return encoded.tobytes()
