"""Daily satellite imagery and volcano interferograms as Dagster assets.

`gibs` moves and stores NASA imagery, `anomalies` finds what is wrong with a day, `defs` is the
Dagster side, `cli` the `heph` command. The library rooms import no Dagster.
"""

__version__ = "0.1.0"
