"""SES that delivers nothing: every mail that it takes is written as a file, for the laptop's owner to read.

moto looks at a mail and keeps it in memory; what it takes is written as `<outbox>/<instant>-<id>.eml`, whole or not at
all, before the sender hears of it: so it is there, also after a kill. moto's SES is imported when the first notice is
sent: a sandbox that sends none starts as quickly as ever.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any

from sandbox.aws.patches import Patches

Handler = Callable[[Any, Any], Any]


class Outbox:
    """A directory of sent mails, and the one sender that this SES has verified."""

    def __init__(self, directory: Path, sender: str) -> None:
        self.directory = directory
        self._sender = sender
        self._once = threading.Lock()
        self._patches: Patches | None = None

    def ahead_of(self, handler: Handler) -> Handler:
        """The handler, before whose first call SES is made ready."""

        def call(event: Any, context: Any) -> Any:
            self.install()
            return handler(event, context)

        return call

    def install(self) -> Patches:
        """Have moto's SES write what it takes. Answers what undoes it; a second call does nothing."""
        with self._once:
            if self._patches is None:
                from moto.core import DEFAULT_ACCOUNT_ID
                from moto.ses.models import ses_backends
                from moto.sesv2.responses import SESV2Response

                self._patches = Patches()
                stock = SESV2Response.send_email
                self._patches.set(SESV2Response, "send_email", self._writing(stock))
                region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
                ses_backends[DEFAULT_ACCOUNT_ID][region].verify_email_address(self._sender)
            return self._patches

    def _writing(self, stock: Callable[[Any], str]) -> Callable[[Any], str]:
        def send_email(response: Any) -> str:
            answer = stock(response)
            self._write(message_of(json.loads(response.body)))
            return answer

        return send_email

    def _write(self, message: EmailMessage) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:8]}.eml"
        draft = self.directory / f".{name}"
        with draft.open("wb") as file:
            file.write(bytes(message))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self.directory / name)


def message_of(request: Mapping[str, Any]) -> EmailMessage:
    """The mail in a SendEmail request with simple content."""
    content = request["Content"]["Simple"]
    message = EmailMessage()
    message["From"] = request["FromEmailAddress"]
    message["To"] = ", ".join(request["Destination"]["ToAddresses"])
    message["Subject"] = content["Subject"]["Data"]
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="sandbox.invalid")
    message.set_content(content["Body"]["Text"]["Data"])
    message.add_alternative(content["Body"]["Html"]["Data"], subtype="html")
    return message
