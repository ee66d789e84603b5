"""What becomes of StartJobRun's errors: those that stay end the run, those that may pass are brought to the caller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from chalicelib.aws import emr
from chalicelib.aws.emr import EmrEngine
from chalicelib.core.model import Placement, Run
from chalicelib.core.states import RunState
from chalicelib.ports import EngineRefused, Launch
from tests.unit.cloud import spec

RUN = Run("main", 7, replace(spec(), spark_version="3.5"), "ada", 1)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    made = boto3.client("emr-containers", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    monkeypatch.setattr(emr, "client", lambda name: made)
    with Stubber(made) as stubber:
        yield stubber


def start(run: Run = RUN, role: str = "arn:aws:iam::123456789012:role/driver") -> str:
    return EmrEngine("vc", role, "bucket").start(Launch(run, "s3://b/launch.py", ()))


@pytest.mark.parametrize("code", ["ValidationException", "ResourceNotFoundException"])
def test_what_emr_refuses_for_good_is_told_in_emrs_words(stub: Stubber, code: str) -> None:
    stub.add_client_error("start_job_run", code, "No such thing.", 400)
    with pytest.raises(EngineRefused) as refused:
        start()
    assert (refused.value.message, refused.value.outcome) == ("No such thing.", None)


def test_what_botocore_does_not_even_send_is_refused_for_good_too(stub: Stubber) -> None:
    stub.deactivate()
    with pytest.raises(EngineRefused, match="executionRoleArn, value: 1, valid min length: 20"):
        start(role="r")


def test_a_spark_that_is_no_longer_there_is_refused_for_good(stub: Stubber) -> None:
    with pytest.raises(EngineRefused, match="Spark 9.9 is not available"):
        start(replace(RUN, spec=replace(RUN.spec, spark_version="9.9")))


def test_what_the_deployment_is_not_allowed_is_no_fault_of_the_program(stub: Stubber) -> None:
    stub.add_client_error("start_job_run", "AccessDeniedException", "not authorized to perform", 403)
    with pytest.raises(EngineRefused) as refused:
        start(replace(RUN, spec=replace(RUN.spec, placement=Placement(execution_role="arn:aws:iam::1:role/other"))))
    outcome = refused.value.outcome
    assert outcome and (outcome.state, outcome.reason) == (RunState.INTERNAL_ERROR, "ACCESS_DENIED")
    assert outcome.message == "The driver could not be started: not authorized to perform"


@pytest.mark.parametrize("code", ["InternalServerException", "ThrottlingException", "ExpiredTokenException"])
def test_what_may_pass_is_brought_to_whoever_tries_again(stub: Stubber, code: str) -> None:
    stub.add_client_error("start_job_run", code, "Later.", 500)
    with pytest.raises(ClientError, match="Later."):
        start()
