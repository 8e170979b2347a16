"""Runs whose process is gone, after a crash or a power cut: Dagster's own launcher takes them to go on for ever."""

# No `from __future__ import annotations`: Dagster reads the types of a sensor function as they are.
import json

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from heph_dagster.settings import Settings

_BEGUN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
_ANSWER_SECONDS = 10


def lost_run_sensor(settings: Settings) -> dg.SensorDefinition:
    """Fails runs that nobody carries out any more, so that what they were at is done again."""

    @dg.sensor(
        name="lost_runs",
        minimum_interval_seconds=min(settings.look_seconds, 60),
        default_status=dg.DefaultSensorStatus.RUNNING if settings.automation else dg.DefaultSensorStatus.STOPPED,
        description="Fails runs whose process is gone: those that their code server does not know at two looks.",
    )
    def lost_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        suspected = set(json.loads(context.cursor)) if context.cursor else set()
        runs = context.instance.get_runs(dg.RunsFilter(statuses=_BEGUN))
        gone = {run.run_id: run for run in runs if GRPC_INFO_TAG in run.tags and not _carried_out(run)}
        lost = sorted(suspected & gone.keys())
        for run_id in lost:
            context.instance.report_run_failed(
                gone[run_id], "Its process is gone: the machine or the code server died."
            )
        told = f"{len(lost)} lost runs have failed now: {', '.join(lost)}" if lost else "every run is carried out"
        return dg.SensorResult(skip_reason=told, cursor=json.dumps(sorted(gone.keys() - suspected)))

    return lost_runs


def _carried_out(run: dg.DagsterRun) -> bool:
    """Whether the code server that started a run has it still."""
    told = json.loads(run.tags[GRPC_INFO_TAG])
    client = DagsterGrpcClient(
        port=told.get("port"), socket=told.get("socket"), host=told["host"], use_ssl=told.get("use_ssl", False)
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_ANSWER_SECONDS)
    except DagsterUserCodeUnreachableError:
        return False
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
