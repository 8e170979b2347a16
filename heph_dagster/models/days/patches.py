"""Features of the single pixels of days: their colours and those around them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_NEAR, _FAR = 1, 4
FEATURES = (
    "red", "green", "blue", "light", "brightest", "saturation",
    "near darkest", "near brightest", "near brightness", "near saturation", "near light",
    "far brightness", "far saturation", "far roughness",
)  # fmt: skip
"""Names of the features of a pixel."""


def features(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features of the pixels of a day: what each is, and what is around it in squares of 3 and 9 px.

    Args:
        pixels: Height x width x 4: red, green, blue and light. East of the last column is the first.

    Returns:
        Height x width x `FEATURES`, float32.
    """
    margin = _FAR
    wide = cv2.copyMakeBorder(pixels, 0, 0, margin, margin, cv2.BORDER_WRAP)
    red, green, blue, light = (np.ascontiguousarray(wide[..., each]) for each in range(4))
    brightest = cv2.max(cv2.max(red, green), blue)
    saturation = cv2.subtract(brightest, cv2.min(cv2.min(red, green), blue))
    near, far = (2 * _NEAR + 1,) * 2, (2 * _FAR + 1,) * 2
    square = np.ones(near, np.uint8)

    def mean(plane: NDArray[np.uint8], side: tuple[int, int]) -> NDArray[np.float32]:
        return cv2.boxFilter(plane, cv2.CV_32F, side, borderType=cv2.BORDER_REPLICATE)

    around = mean(brightest, far)
    squares = cv2.sqrBoxFilter(brightest, cv2.CV_32F, far, borderType=cv2.BORDER_REPLICATE)
    planes = [
        red, green, blue, light, brightest, saturation,
        cv2.erode(brightest, square), cv2.dilate(brightest, square),
        mean(brightest, near), mean(saturation, near), mean(light, near),
        around, mean(saturation, far), np.sqrt(np.maximum(squares - around**2, 0)),
    ]  # fmt: skip
    return np.stack([plane[:, margin:-margin] for plane in planes], axis=-1).astype(np.float32)
