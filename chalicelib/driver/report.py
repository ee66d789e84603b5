"""Tells the control plane how the run fares: `POST {api}/driver/v1/runs/{run}/report`. Used by `bootstrap`.

Best effort: a control plane that is down or silent never fails the user's program and delays its end by
`PATIENCE_SECONDS` at most. The program's exit status remains the truth; a report only says more, and sooner. Reports
may arrive twice: a last one repeats what the control plane has not acknowledged.

One daemon thread sends, so that even a name that does not resolve cannot hold the program. It is started with the first
report, not before: a program that forks should find no thread that it did not make.
"""

from __future__ import annotations

import threading
import time

from .console import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ATTEMPTS = 3
ATTEMPT_SECONDS = 2.0
PATIENCE_SECONDS = 4.0
_BACK_OFF_SECONDS = (0.2, 0.6)


class Reporter:
    """Reports of one run. `api` may be empty: then nothing is sent. `secret` goes into one header and nowhere else."""

    def __init__(self, api: str, run: str, secret: str) -> None:
        self._api = api.rstrip("/")
        self._run = run
        self._secret = secret
        self._unsaid: dict[str, Any] = {}
        self._queue: Any = None
        self._hurry = threading.Event()
        self._complained = False
        self.introduced = False

    def started(self, application_id: str, spark_version: str, name: str) -> None:
        """Spark is up. Returns at once."""
        self.introduced = True
        self._unsaid = {"application_id": application_id, "spark_version": spark_version, "application_name": name}
        self._enqueue(dict(self._unsaid))

    def open(self) -> None:
        """Make sure that the sending thread runs: once Python has begun to shut down, it starts no more threads."""
        if self._api and self._queue is None:
            import queue

            self._queue = queue.SimpleQueue()  # reentrant, so a signal handler may use it
            threading.Thread(target=self._work, name="sparkplane-report", daemon=True).start()

    def finish(self, facts: dict[str, Any], patience: float = PATIENCE_SECONDS) -> None:
        """The last report: `facts` and what has not been acknowledged yet. Waits `patience` seconds at most."""
        self._hurry.set()
        done = self._enqueue({**self._unsaid, **facts, "finished": True})
        if done is not None and not done.wait(patience):
            self._complain(f"no answer within {patience:g} s")

    def _enqueue(self, facts: dict[str, Any]) -> threading.Event | None:
        self.open()
        if self._queue is None:
            return None
        done = threading.Event()
        self._queue.put((facts, done))
        return done

    def _work(self) -> None:
        while True:
            facts, done = self._queue.get()
            self._deliver(facts)
            done.set()

    def _deliver(self, facts: dict[str, Any]) -> None:
        """Try a few times; give up earlier on an answer that a repetition would not change, or for a later report."""
        failure: str | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                pause = _BACK_OFF_SECONDS[attempt - 1]
                if "finished" in facts:
                    time.sleep(pause)
                elif self._hurry.wait(pause):
                    return
            failure, again = self._post(facts)
            if failure is None:
                self._unsaid = {}
                return
            if not again:
                break
        self._complain(failure or "unknown")

    def _post(self, facts: dict[str, Any]) -> tuple[str | None, bool]:
        """One attempt: (what went wrong or None, whether to try again). The failure's text never holds the secret."""
        import json
        import urllib.error
        import urllib.parse
        import urllib.request

        url = f"{self._api}/driver/v1/runs/{urllib.parse.quote(self._run, safe='')}/report"
        headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/json"}
        try:
            request = urllib.request.Request(url, json.dumps(facts).encode(), headers, method="POST")
            with without_redirects().open(request, timeout=ATTEMPT_SECONDS):
                return None, False
        except urllib.error.HTTPError as error:
            error.close()
            return f"HTTP status {error.code}", error.code >= 500 or error.code in (408, 429)
        except urllib.error.URLError as error:
            return str(error.reason), True
        except Exception as error:  # noqa: BLE001 - an odd answer or address; its text might quote a header
            return type(error).__name__, isinstance(error, OSError)

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            say(f"could not report to the control plane: {reason}")


def without_redirects() -> Any:
    """An opener that takes a redirect for a failure: following it would hand the run's secret to another host."""
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    return urllib.request.build_opener(Stay)
