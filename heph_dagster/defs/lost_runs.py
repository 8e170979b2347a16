"""Runs whose process is gone, after a crash or a power cut: Dagster's own launcher takes them to go on for ever."""

# No `from __future__ import annotations`: Dagster reads the types of a sensor function as they are.
import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
import grpc
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from heph_dagster.defs.runs import PROCESS_TAG
from heph_dagster.processes import is_gone

_BEGUN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
_ANSWER_SECONDS = 10


@dg.sensor(
    name="lost_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process is gone: those that their code server does not know at two looks.",
)
def lost_run_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Fail runs that nobody carries out any more, so that what they were at is done again; it starts no runs."""
    suspected = set(json.loads(context.cursor)) if context.cursor else set()
    runs = context.instance.get_runs(dg.RunsFilter(statuses=_BEGUN))
    gone = {run.run_id: run for run in runs if _is_gone(run)}
    lost = sorted(suspected & gone.keys())
    for run_id in lost:
        context.instance.report_run_failed(gone[run_id], "Its process is gone: the machine or the code server died.")
    told = f"{len(lost)} lost runs have failed now: {', '.join(lost)}" if lost else "every run is carried out"
    return dg.SensorResult(skip_reason=told, cursor=json.dumps(sorted(gone.keys() - suspected)))


def _is_gone(run: dg.DagsterRun) -> bool:
    """Whether nobody carries a run out any more, as far as can be told; other launchers watch over their runs."""
    if PROCESS_TAG in run.tags:
        return is_gone(run.tags[PROCESS_TAG])
    return GRPC_INFO_TAG in run.tags and not _has(json.loads(run.tags[GRPC_INFO_TAG]), run.run_id)


def _has(server: Mapping[str, Any], run_id: str) -> bool:
    """Whether the code server that started a run has it still."""
    client = DagsterGrpcClient(
        port=server.get("port"),
        socket=server.get("socket"),
        host=server["host"],
        use_ssl=server.get("use_ssl", False),
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=_ANSWER_SECONDS)
    except DagsterUserCodeUnreachableError as error:
        cause = error.__cause__
        # One that is slow to answer may have it.
        return isinstance(cause, grpc.RpcError) and cause.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
