"""Dynamic images as pictures to look at, on the report page and, with `--log-faces`, in MLflow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RED = np.array([255.0, 0.0, 0.0])


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


def png(image: np.ndarray, region: np.ndarray | None = None) -> bytes:
    """Encode the `pixels` of a dynamic image as PNG, with a region (h, w), 0..1, in red."""
    shown = pixels(image) if region is None else _marked(pixels(image), region)
    _, encoded = cv2.imencode(".png", shown[..., ::-1])  # OpenCV writes BGR
    return encoded.tobytes()


def _marked(shown: NDArray[np.uint8], region: np.ndarray) -> NDArray[np.uint8]:
    """Blend a picture with red, by half where the region is 1."""
    height, width = shown.shape[:2]
    share = cv2.resize(region.astype(np.float32), (width, height))[..., None] / 2
    marked: NDArray[np.uint8] = np.round((1 - share) * shown + share * RED).astype(np.uint8)
    return marked
