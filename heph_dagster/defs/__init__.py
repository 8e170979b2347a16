"""The Dagster side: assets, partitions, resources and runs. No arithmetic here, and no Dagster elsewhere."""

import warnings

import dagster as dg

# Two arguments are marked beta and have no stable counterpart: without this, every asset prints lines about them.
for argument in ("backfill_policy", "allow_nonexistent_upstream_partitions"):
    warnings.filterwarnings("ignore", category=dg.BetaWarning, message=f".*{argument}.*")
