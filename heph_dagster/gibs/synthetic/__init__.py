"""Plausible days of global imagery made from nothing, with the exact truth about what is wrong with them."""

from heph_dagster.gibs.synthetic.anomalies import DEALT, Anomaly, Kind, schedule
from heph_dagster.gibs.synthetic.measure import POLAR_NIGHT, SWATH_GAP
from heph_dagster.gibs.synthetic.scene import DIMMEST_VALID, SyntheticDay, render_day

__all__ = [
    "DEALT",
    "DIMMEST_VALID",
    "POLAR_NIGHT",
    "SWATH_GAP",
    "Anomaly",
    "Kind",
    "SyntheticDay",
    "render_day",
    "schedule",
]
