"""The Mailer port on Amazon SES."""

from __future__ import annotations

from chalicelib.aws.clients import client
from chalicelib.ports import Mail, Undeliverable, Undelivered

_NEVER = (
    "AccountSuspendedException",
    "BadRequestException",
    "MailFromDomainNotVerifiedException",
    "MessageRejected",
    "NotFoundException",
)
"""SES's answers that another try of the same mail will not change."""


class SesMailer:
    """Sends from the deployment's one address."""

    def __init__(self, sender: str) -> None:
        self._sender = sender

    def send(self, mail: Mail) -> None:
        """See Mailer.send."""
        if not self._sender:
            raise Undeliverable("This deployment sends no e-mails: SPARKPLANE_MAIL_FROM names no sender.")
        from botocore.exceptions import ClientError

        body = {name: {"Data": text, "Charset": "UTF-8"} for name, text in (("Text", mail.text), ("Html", mail.html))}
        content = {"Simple": {"Subject": {"Data": mail.subject, "Charset": "UTF-8"}, "Body": body}}
        try:
            client("sesv2").send_email(
                FromEmailAddress=self._sender, Destination={"ToAddresses": [mail.to]}, Content=content
            )
        except ClientError as error:
            told = error.response.get("Error", {})
            code, message = told.get("Code", ""), told.get("Message", "")
            fault = Undeliverable if code in _NEVER else Undelivered
            raise fault(f"SES refused the mail to {mail.to}: {code} {message}".strip()) from None
