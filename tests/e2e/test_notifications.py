"""Notifications of real runs: mails in the outbox, webhooks on loopback, and a time-out that reaches a live run."""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.e2e.conftest import Program
from tests.e2e.live import CLUSTER, Client, Sandbox, eventually, python

FAILS_TWICE = """
import pathlib, sys
notes = pathlib.Path(sys.argv[1])
with notes.open("a") as file:
    file.write("x")
if len(notes.read_text()) < 3:
    raise ValueError("not yet")
"""
QUICK = "print('done')\n"
SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
ADA = "ada@example.com"


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted, and answers what it was told to, in turn."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((dict(self.headers), body))
        server.gate.wait(60)
        self.send_response(server.answers.pop(0) if server.answers else 200)
        self.end_headers()

    def log_message(self, *told: Any) -> None:
        """Silence."""


@pytest.fixture
def hook() -> Iterator[Any]:
    """A receiver of webhooks, with an open gate before its answers."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.answers, server.gate, server.daemon_threads = [], [], threading.Event(), True
    server.gate.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()


def outbox(sandbox: Sandbox, words: str) -> list[Message]:
    """The mails whose subject has these words."""
    mails = [message_from_bytes(path.read_bytes()) for path in sorted((sandbox.home / "outbox").glob("*.eml"))]
    return [mail for mail in mails if words in str(mail["Subject"])]


def destination(sandbox: Sandbox, hook: Any) -> tuple[str, str]:
    """A destination of the receiver's, and its secret."""
    url = f"http://127.0.0.1:{hook.server_address[1]}/spark"
    made = sandbox.admin("destination", "create", "--name", "pager", "--url", url)
    return made["id"], made["signing_secret"]


def test_a_job_that_fails_twice_and_then_succeeds_is_three_runs_and_one_mail_of_success(
    sandbox: Sandbox, client: Client, program: Program, tmp_path: Any
) -> None:
    task = python(program("fails_twice.py", FAILS_TWICE), str(tmp_path / "notes"))
    told = {"on_success": [ADA], "on_failure": ["bob@example.com"]}
    settings = {"name": "third time lucky", "new_cluster": CLUSTER, **task, "max_retries": 3}
    settings |= {"email_notifications": told, "notification_settings": {"alert_on_last_attempt": True}}
    job = client.jobs("create", settings)["job_id"]
    first = client.jobs("run-now", {"job_id": job})["run_id"]
    mails = eventually(lambda: outbox(sandbox, "third time lucky"), "a mail", 240)
    runs = sorted(client.jobs("runs/list", job_id=job)["runs"], key=lambda run: run["attempt_number"])
    assert [(run["attempt_number"], run["state"]["result_state"]) for run in runs] == [
        (0, "FAILED"),
        (1, "FAILED"),
        (2, "SUCCESS"),
    ]
    assert {run["original_attempt_run_id"] for run in runs} == {first}
    assert [run["trigger"] for run in runs] == ["ONE_TIME", "RETRY", "RETRY"]
    (mail,) = mails
    assert mail["To"] == ADA and str(mail["Subject"]).endswith(
        f"Run {runs[2]['run_id']} of third time lucky: succeeded"
    )
    assert client.jobs("delete", {"job_id": job}) == {}
    removal = f"Job {job} third time lucky: was removed"
    eventually(lambda: len(outbox(sandbox, removal)) == 2, "both mails of removal")
    assert len(outbox(sandbox, "of third time lucky: succeeded")) == 1


def test_a_webhook_that_fails_twice_gets_its_signed_notice_at_last(
    sandbox: Sandbox, client: Client, program: Program, hook: Any
) -> None:
    id, secret = destination(sandbox, hook)
    hook.answers = [500, 500, 200]
    run = client.submit(python(program("quick.py", QUICK)), webhook_notifications={"on_success": [{"id": id}]})
    client.await_end(run)
    eventually(lambda: len(hook.got) == 3, "three tries", 90)
    for headers, body in hook.got:
        told = json.loads(body)
        assert (told["event_type"], told["run"]) == ("jobs.on_success", {"run_id": run})
        parts = dict(part.split("=", 1) for part in headers["X-Sparkplane-Signature"].split(","))
        signed = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, "sha256").hexdigest()
        assert parts["v1"] == signed and headers["X-Sparkplane-Event-Id"] == told["event_id"]


def test_a_receiver_that_takes_its_time_holds_up_no_run(
    sandbox: Sandbox, client: Client, program: Program, hook: Any
) -> None:
    id, _ = destination(sandbox, hook)
    hook.gate.clear()
    run = client.submit(python(program("quick.py", QUICK)), webhook_notifications={"on_start": [{"id": id}]})
    eventually(lambda: hook.got, "the notice of the start", 90)
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    assert not hook.gate.is_set(), "the receiver has not answered yet"


def test_a_shorter_time_out_reaches_a_run_that_lives(sandbox: Sandbox, client: Client, program: Program) -> None:
    settings = {"name": "slow", "new_cluster": CLUSTER, **python(program("slow.py", SLOW)), "timeout_seconds": 500}
    job = client.jobs("create", settings)["job_id"]
    run = client.jobs("run-now", {"job_id": job})["run_id"]
    client.await_output(run, "begun")
    began = time.monotonic()
    client.jobs("update", {"job_id": job, "new_settings": {"timeout_seconds": 1}})
    assert client.await_end(run, 100)["state"]["result_state"] == "TIMEDOUT"
    assert time.monotonic() - began < 400, "it was not the old time-out"
