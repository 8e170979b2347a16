"""What keeps a learner from learning."""

from __future__ import annotations

from heph_dagster.errors import HephError


class DataError(HephError):
    """Data that nothing can be learned from."""


class TrainingError(HephError):
    """A training that led nowhere."""


class SkippedError(HephError):
    """A training that was not to be begun as things are."""
