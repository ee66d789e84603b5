"""E-mails through SES."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from chalicelib.aws import clients
from chalicelib.aws.mail import SesMailer
from chalicelib.ports import Mail, Undeliverable, Undelivered

MAIL = Mail("ada@example.com", "[Sparkplane] näme ☃", "The text.", "<p>The page.</p>")


@pytest.fixture(autouse=True)
def ses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        clients.client.cache_clear()
        yield
    clients.client.cache_clear()


def test_a_mail_goes_to_its_address_from_the_deployments_sender() -> None:
    clients.client("sesv2").create_email_identity(EmailIdentity="spark@example.com")
    SesMailer("spark@example.com").send(MAIL)
    (sent,) = ses_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].sent_messages
    assert (sent.source, sent.destinations, sent.subject) == (
        "spark@example.com",
        {"ToAddresses": ["ada@example.com"]},
        MAIL.subject,
    )


def test_a_sender_whom_ses_does_not_know_is_told_as_what_can_never_be() -> None:
    with pytest.raises(Undeliverable, match="SES refused the mail to ada@example.com: MessageRejected"):
        SesMailer("stranger@example.com").send(MAIL)


def test_without_a_sender_nothing_is_sent_and_the_reason_names_the_setting() -> None:
    with pytest.raises(Undeliverable, match="SPARKPLANE_MAIL_FROM"):
        SesMailer("").send(MAIL)


def test_a_service_that_is_busy_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    def busy(**_: object) -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "slow down"}}, "SendEmail")

    monkeypatch.setattr(clients.client("sesv2"), "send_email", busy)
    with pytest.raises(Undelivered) as refused:
        SesMailer("spark@example.com").send(MAIL)
    assert not isinstance(refused.value, Undeliverable)
