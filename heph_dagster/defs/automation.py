"""When assets are made by themselves: conditions by which what follows from a day follows the day.

Dagster's own `eager` looks at the latest day only; days come late and are replaced, so these look at all.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg

from heph_dagster.settings import Settings

_WAIT = timedelta(days=3)
"""How long a day waits for another layer's image of it."""
_AGAIN = "0 0 * * *"

Condition = dg.AutomationCondition[Any]


def sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    """Whether sensors are on where nobody has switched them in the UI."""
    return dg.DefaultSensorStatus.RUNNING if settings.automation else dg.DefaultSensorStatus.STOPPED


def follow_sensor(settings: Settings) -> dg.AutomationConditionSensorDefinition:
    """Looks at the conditions, and starts what they ask for."""
    return dg.AutomationConditionSensorDefinition(
        "follow",
        target=dg.AssetSelection.all(),
        default_status=sensor_status(settings),
        description="Makes what follows from days and frames that are new.",
    )


def follow_days(image: dg.AssetKey, *, needed: dg.AssetKey | None = None, late: dg.AssetKey | None = None) -> Condition:
    """A day is made when its image is new, and where it lacks when this condition is first looked at.

    Args:
        image: Asset of the same days.
        needed: Asset that must have been made; when it is made anew, no day is.
        late: Image of another layer, for which the newest days wait and older days do not; a day is made again when it
            comes.
    """
    images = dg.AssetSelection.assets(image) if late is None else dg.AssetSelection.assets(image, late)
    lacking = _lacking(dg.AssetSelection.assets(image) if needed is None else dg.AssetSelection.assets(image, needed))
    if late is not None:
        newest = dg.AutomationCondition.in_latest_time_window(_WAIT)
        lacking = lacking | (_lacking(dg.AssetSelection.assets(late)) & newest)
    return _once(_updated(images) | _first(), images) & ~lacking & ~_busy(images)


def follow_frames(*parents: dg.AssetKey) -> Condition:
    """A frame is made when any of its parents is new, and where it lacks when this condition is first looked at.

    Args:
        parents: Assets of the same frames, or of all frames together.
    """
    chosen = dg.AssetSelection.assets(*parents)
    return _once(_updated(chosen) | _first(), chosen) & ~_lacking(chosen) & ~_busy(chosen)


def follow_once_learned(parent: dg.AssetKey, models: dg.AssetSelection) -> Condition:
    """A day or frame is told of when its parent is new and there is a model; a new model makes none anew.

    Args:
        parent: Asset of the same days or frames.
        models: Those that learn.
    """
    chosen = dg.AssetSelection.assets(parent)
    return _once(_updated(chosen) & _any_made(models), chosen) & ~_lacking(chosen) & ~_busy(chosen)


def follow_all(*parents: dg.AssetKey) -> Condition:
    """A table of all days is brought up to date when any day of its parents is new, and none is being made.

    It is made, too, where it lacks when this condition is first looked at.

    Args:
        parents: Assets of days.
    """
    chosen = dg.AssetSelection.assets(*parents)
    return _once(_updated(chosen) | (_first() & _any_made(chosen)), chosen) & ~_busy(chosen)


def _updated(chosen: dg.AssetSelection) -> Condition:
    # `any_deps_updated` overlooks what the parent's run planned, too, and then skipped since another day failed.
    return dg.AutomationCondition.any_deps_match(dg.AutomationCondition.newly_updated()).allow(chosen)


def _updated_apart(chosen: dg.AssetSelection) -> Condition:
    """Parents that are new by a run which does not make the asset as well."""
    apart = dg.AutomationCondition.newly_updated() & ~dg.AutomationCondition.executed_with_root_target()
    return dg.AutomationCondition.any_deps_match(apart).allow(chosen)


def _any_made(chosen: dg.AssetSelection) -> Condition:
    return dg.AutomationCondition.any_deps_match(~dg.AutomationCondition.missing()).allow(chosen)


def _first() -> Condition:
    return dg.AutomationCondition.initial_evaluation() & dg.AutomationCondition.missing()


def _lacking(chosen: dg.AssetSelection) -> Condition:
    return dg.AutomationCondition.any_deps_match(dg.AutomationCondition.missing()).allow(chosen)


def _busy(chosen: dg.AssetSelection) -> Condition:
    return (
        dg.AutomationCondition.any_deps_match(dg.AutomationCondition.in_progress()).allow(chosen)
        | dg.AutomationCondition.in_progress()
    )


def _once(cause: Condition, chosen: dg.AssetSelection) -> Condition:
    """Holds from a cause until the asset is requested, and where it is not made then, once a day until it is.

    Args:
        cause: What the asset is made for.
        chosen: The parents. One that is new while the asset is being made, or at the look that finds it made, may have
            come too late for it.
    """
    asked, apart = dg.AutomationCondition.newly_requested(), _updated_apart(chosen)
    made = dg.AutomationCondition.newly_updated() & ~apart
    missed = (apart & dg.AutomationCondition.in_progress()).since(asked)
    again = dg.AutomationCondition.cron_tick_passed(_AGAIN)
    return cause.since(made) & (cause | again).since(asked | made) | missed
