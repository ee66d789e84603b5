"""The console in a real browser: the way from an application to its run, and what its page says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import requests

from tests.e2e import browser
from tests.e2e.live import Client, Sandbox
from tests.e2e.test_history_server import sign_in

EXAMPLES = "/opt/ibm/spark/examples"
SCALA = {
    "application_details": {
        "application": f"{EXAMPLES}/jars/spark-examples*.jar",
        "class": "org.apache.spark.examples.SparkPi",
        "arguments": [1],
        "files": f"{EXAMPLES}/src/main/resources/people.txt",
        "conf": {"spark.app.name": "Scala Application"},
    },
    "template_id": "spark-3.4-cp4d-miniforge-template",
}


@browser.needed
def test_an_applications_id_leads_to_its_run_with_all_that_was_asked_for(
    sandbox: Sandbox, client: Client, tmp_path: Path
) -> None:
    answer = requests.post(
        f"{sandbox.url}/v4/analytics_engines/{sandbox.instance}/spark_applications",
        data=gzip.compress(json.dumps(SCALA).encode()),
        headers={"Authorization": f"Bearer {sandbox.token}", "Content-Encoding": "gzip"},
        timeout=60,
    )
    assert answer.status_code == 202 and answer.headers["X-Global-Transaction-Id"]
    application = answer.json()["application_id"]
    found = client.await_application(application)
    version = found["application_details"]["runtime"]["engine_version"]
    assert (found["state"], found["spark_application_name"]) == ("FINISHED", "Spark Pi")
    with browser.browsing(tmp_path / "profile") as chromium:
        page = chromium.open(f"{sandbox.url}/#runs")
        sign_in(page, sandbox.token)
        page.until("document.querySelector('form.find input')")
        for text in ("nonsense", application):
            page.ask(f"document.querySelector('form.find input').value = {json.dumps(text)}")
            page.ask("document.querySelector('form.find input').dispatchEvent(new Event('input', {bubbles: true}))")
            page.ask("document.querySelector('form.find').requestSubmit()")
        page.until("document.querySelector('dl.facts')")
        assert page.ask("location.href") == found["run_page_url"]
        shown = page.ask("document.body.innerText")
        for text in (
            application,
            f"{version} ran it; 3.4 was asked for",
            "Spark Pi",
            "people.txt",
            SCALA["template_id"],
        ):
            assert text in shown, text
        page.until("document.body.innerText.includes('Pi is roughly')")
        assert page.wrongs() == []
