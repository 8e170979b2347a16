"""Randomness that depends on what is made, and on nothing that was made before."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *what: str | int) -> np.random.Generator:
    """A source of randomness of its own for one purpose.

    Args:
        seed: Seed of everything that is made.
        what: Names the purpose: a frame, an annotation, a part of it.

    Returns:
        The same generator for the same arguments, on every machine.
    """
    name = "\0".join((str(seed), *map(str, what)))
    return np.random.Generator(np.random.SFC64(list(hashlib.sha256(name.encode()).digest())))
