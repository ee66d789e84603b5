"""The parts of the notebook runner that need neither a kernel nor Spark."""

from __future__ import annotations

import base64
import datetime
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.driver.notebook import cells, door, model, redact, run, show, sql
from chalicelib.driver.notebook.broker import MAX_NESTED_INCLUDES, Broker
from chalicelib.driver.notebook.link import Link, Refused
from chalicelib.driver.notebook.session import Found
from chalicelib.driver.notebook.widgets import InputWidgetNotDefined, Widgets

CELLS = {
    "python": ("x = 1", "python", "python", "x = 1"),
    "a magic and its text": ("%sql\nselect 1\nfrom t", "python", "sql", "select 1\nfrom t"),
    "text on the magic's line": ("%sql select 1\nfrom t", "python", "sql", "select 1\nfrom t"),
    "blank lines before": ("\n\n%md hi", "python", "md", "hi"),
    "a language's own cells": ("select 1", "sql", "sql", "select 1"),
    "python in a SQL notebook": ("%python\nx = 1", "sql", "python", "x = 1"),
    "pip in a SQL notebook": ("%pip install a", "sql", "python", "%pip install a"),
    "IPython's magic": ("%matplotlib inline\nx", "python", "python", "%matplotlib inline\nx"),
    "IPython's cell magic": ("%%time\nx", "python", "python", "%%time\nx"),
    "a magic further down": ("x = 1\n%sql select 1", "python", "python", "x = 1\n%sql select 1"),
    "a word that only begins so": ("%sqlite x", "python", "python", "%sqlite x"),
    "nothing": ("", "python", "python", ""),
}


@pytest.mark.parametrize(("text", "language", "kind", "body"), CELLS.values(), ids=CELLS.keys())
def test_a_cells_first_line_tells_its_kind(text: str, language: str, kind: str, body: str) -> None:
    assert cells.read_cell(text, language) == (kind, body)


@given(st.text(), st.sampled_from(["python", "sql", "scala", "r"]))
def test_any_text_is_a_cell(text: str, language: str) -> None:
    kind, body = cells.read_cell(text, language)
    assert kind in cells.KINDS
    assert body.rstrip("\n") in text + "\n"


@pytest.mark.parametrize(
    ("path", "base", "found"),
    [
        ("./other", "/a/b", "/a/other"),
        ("../other", "/a/b/c", "/a/other"),
        ("other", "/main", "/other"),
        ("/x/./y//z", "/main", "/x/y/z"),
    ],
)
def test_a_notebooks_path_is_meant_from_where_it_is_written(path: str, base: str, found: str) -> None:
    assert cells.resolve(path, base) == found


def test_a_path_above_the_root_is_refused() -> None:
    with pytest.raises(ValueError, match="leads above"):
        cells.resolve("../../x", "/a/b")


def test_run_takes_a_path_and_arguments() -> None:
    assert cells.run_target('"./a b" $x="1 2" $y=3') == ("./a b", {"x": "1 2", "y": "3"})
    for wrong in ("", "./a x=1", "./a $x"):
        with pytest.raises(ValueError, match="%run"):
            cells.run_target(wrong)


STATEMENTS = {
    "one": ("select 1", ["select 1"]),
    "two and an end": ("select 1;\nselect 2;", ["select 1", "select 2"]),
    "quotes": ("select ';', \"a;b\", `c;d`; select 2", ["select ';', \"a;b\", `c;d`", "select 2"]),
    "an escaped quote": ("select 'it\\'s;'; select 2", ["select 'it\\'s;'", "select 2"]),
    "comments": ("-- a; b\nselect 1 /* ; */; -- end", ["-- a; b\nselect 1 /* ; */"]),
    "a script": ("BEGIN\n select 1;\n select 2;\nEND;", ["BEGIN\n select 1;\n select 2;\nEND"]),
    "nothing": (" ;; \n", []),
}


@pytest.mark.parametrize(("text", "found"), STATEMENTS.values(), ids=STATEMENTS.keys())
def test_a_cell_is_split_into_its_statements(text: str, found: list[str]) -> None:
    assert sql.statements(text) == found


def test_widgets_in_sql() -> None:
    values = {"a": "1", "q": "it's"}
    assert sql.with_values("select $a, ${a}, $b, ${b}", values) == "select 1, 1, $b, ${b}"
    assert sql.with_values('select getArgument("q")', values) == "select 'it\\'s'"
    assert sql.named("select :a, x::int, ':q', :none -- :q", values) == {"a": "1"}


def test_parameters_win_over_widgets_defaults() -> None:
    widgets = Widgets({"a": "told"})
    widgets.text("a", "default")
    widgets.dropdown("b", "x", ["x", "y"])
    assert widgets.getAll() == {"a": "told", "b": "x"}
    assert widgets.get("a") == "told"
    assert widgets.getArgument("c", "kept") == widgets.get("c") == "kept"
    widgets.remove("a")
    with pytest.raises(InputWidgetNotDefined, match="No input widget named a is defined"):
        widgets.get("a")
    with pytest.raises(ValueError, match="not among its choices"):
        widgets.multiselect("d", "z", ["x"])
    widgets.removeAll()
    assert widgets.getAll() == {}


def test_secrets_are_hidden_in_every_text_however_it_is_written() -> None:
    redactor = redact.Redactor()
    redactor.add('p"w<1>\nline2é')
    for shown in (
        'p"w<1>\nline2é',
        repr('p"w<1>\nline2é'),
        json.dumps('p"w<1>\nline2é'),
        "p&quot;w&lt;1&gt;",
        "line2é",
    ):
        assert redact.HIDDEN in redactor.text(f"before {shown} after")
        assert "w<1>" not in redactor.text(shown)
    outputs = [{"text": 'x p"w<1> y', "data": {"image/png": "line2é", "text/plain": ["line2é"]}}]
    assert redactor.data(outputs) == [
        {"text": "x [REDACTED] y", "data": {"image/png": "line2é", "text/plain": ["[REDACTED]"]}}
    ]


def test_very_short_secrets_do_not_blacken_everything() -> None:
    redactor = redact.Redactor()
    redactor.add("a")
    assert redactor.text("banana") == "banana"


PLAIN = [
    (None, None),
    (True, True),
    (3, 3),
    (1.5, 1.5),
    (float("nan"), "NaN"),
    (float("inf"), "inf"),
    (Decimal("1.50"), "1.50"),
    (datetime.datetime(2024, 1, 2, 3, 4), "2024-01-02 03:04:00"),
    (datetime.date(2024, 1, 2), "2024-01-02"),
    (b"\x00\xff", "00ff"),
    ([1, {"a": b"\x01"}], [1, {"a": "01"}]),
]


@pytest.mark.parametrize(("value", "found"), PLAIN, ids=[str(value) for value, _ in PLAIN])
def test_a_cells_value_as_json(value: Any, found: Any) -> None:
    assert show.plain(value) == found


def test_a_table_as_html_escapes_what_it_shows() -> None:
    html = show.as_html(["<n>"], [["<script>"], [None], [{"a": "<"}]], True)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<td>null</td>" in html
    assert "Only the first 3 rows are shown." in html


def executed() -> dict[str, Any]:
    """A notebook that has run."""
    table = {"schema": [{"name": "n", "type": "bigint"}], "rows": [[1], [None]], "truncated": False}
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "hé </script>\n"},
        {"output_type": "display_data", "metadata": {}, "data": {model.TABLE_TYPE: table, "text/html": "<table>"}},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": "aGk=", "text/plain": "<Figure>"}},
        {"output_type": "execute_result", "metadata": {}, "data": {"text/plain": ["1", "2"]}},
        {"output_type": "error", "ename": "E", "evalue": "no", "traceback": ["\x1b[31mE\x1b[0m: no"]},
    ]
    mark = {model.MARK: {"start": 1000, "finish": 2000, "state": "error"}}
    return {
        "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {model.MARK: {"magic": "%md"}}, "source": "# Hi"},
            {"cell_type": "code", "id": "b", "metadata": mark, "source": ["x\n", "y"], "outputs": outputs},
        ]
    }


def extracted(page: str) -> Any:
    """What programs read out of a page, as they do it."""
    match = re.search(r"__DATABRICKS_NOTEBOOK_MODEL = '([^']*)'", page)
    assert match is not None
    return json.loads(urllib.parse.unquote(base64.b64decode(match.group(1)).decode("utf-8")))


def test_the_model_is_found_in_the_page_the_usual_way() -> None:
    text = model.encoded(model.model_of(executed(), "'; alert(1) // </script>", "python"))
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", text)
    found = extracted(f"<script>var __DATABRICKS_NOTEBOOK_MODEL = '{text}';</script>")
    assert (found["version"], found["language"]) == ("NotebookV1", "python")
    assert found["name"] == "'; alert(1) // </script>"
    said, code = found["commands"]
    assert (said["version"], said["command"], said["state"]) == ("CommandV1", "%md\n# Hi", "finished")
    assert (code["command"], code["state"], code["startTime"], code["finishTime"]) == ("x\ny", "error", 1000, 2000)
    assert (code["errorSummary"], code["error"]) == ("E: no", "E: no")
    assert said["position"] < code["position"]
    ansi, table, image, text_result = code["results"]["data"]
    assert (ansi["type"], ansi["data"]) == ("ansi", "hé </script>\n")
    assert (table["type"], table["data"], table["schema"][0]["name"]) == ("table", [[1], [None]], "n")
    assert (image["type"], image["data"]) == ("image", "data:image/png;base64,aGk=")
    assert text_result["data"] == "12"


class World:
    """A control plane on loopback: `answers` are (status, body, headers) by path, used up one by one; `asked` is what
    came."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes, dict[str, str]]]] = {}
        self.asked: list[tuple[str, str, str | None, bytes]] = []
        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                world.asked.append((self.command, self.path, self.headers.get("Authorization"), body))
                left = world.answers[self.path.partition("?")[0]]
                status, told, headers = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(told))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told)

            do_GET = do_POST = do_PUT = _answer

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(door, "BACK_OFF_SECONDS", (0.0, 0.0, 0.0))
    made = World()
    yield made
    made.server.shutdown()
    made.server.server_close()


RUN = "/driver/v1/runs/main.7"


def test_the_door_is_asked_with_the_runs_secret_and_again_when_it_fails(world: World) -> None:
    world.answers[f"{RUN}/notebook"] = [(503, b"", {}), (200, b'{"a": 1}', {})]
    assert door.Door(world.url + "/", "main.7", "s3cret").get("notebook", path="/é x", revision=0) == {"a": 1}
    assert [asked[1:3] for asked in world.asked] == [(f"{RUN}/notebook?path=%2F%C3%A9+x", "Bearer s3cret")] * 2


def test_what_the_door_refuses_is_not_asked_again(world: World) -> None:
    for status, raised in ((404, door.Missing), (400, door.DoorError), (401, door.DoorError)):
        world.asked.clear()
        world.answers[f"{RUN}/secrets"] = [(status, b'{"message": "No such scope."}', {})]
        with pytest.raises(raised, match="No such scope"):
            door.Door(world.url, "main.7", "s").get("secrets")
        assert len(world.asked) == 1


def test_a_door_that_stays_shut_is_given_up(world: World) -> None:
    world.answers[f"{RUN}/secrets"] = [(502, b"<html>", {})]
    with pytest.raises(door.DoorError, match="did not answer: HTTP status 502"):
        door.Door(world.url, "main.7", "s").get("secrets")
    assert len(world.asked) == 1 + len(door.BACK_OFF_SECONDS)


def test_a_redirect_is_followed_without_the_runs_secret(world: World) -> None:
    world.answers[f"{RUN}/notebook"] = [(307, b"", {"Location": f"{world.url}/elsewhere"})]
    world.answers["/elsewhere"] = [(200, b"{}", {})]
    assert door.Door(world.url, "main.7", "s3cret").get("notebook") == {}
    assert [asked[2] for asked in world.asked] == ["Bearer s3cret", None]


def test_results_are_put_where_the_door_says_without_the_runs_secret(world: World) -> None:
    links = {name: f"{world.url}/put/{name}" for name in ("notebook.html", "result.txt")}
    world.answers[f"{RUN}/links"] = [(200, json.dumps({"links": links}).encode(), {})]
    world.answers |= {f"/put/{name}": [(200, b"", {})] for name in links}
    session = SimpleNamespace(door=door.Door(world.url, "main.7", "s3cret"))
    files = {"notebook.html": (b"<p>", "text/html"), "result.txt": (b"v", "text/plain")}
    assert run._upload(session, files) == list(files)  # type: ignore[arg-type]
    asked, *puts = world.asked
    assert json.loads(asked[3]) == {"files": {"notebook.html": 3, "result.txt": 1}}
    assert [(method, body, secret) for method, _, secret, body in puts] == [("PUT", b"<p>", None), ("PUT", b"v", None)]


def test_results_that_cannot_be_stored_are_said_and_fail_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answers[f"{RUN}/links"] = [(400, b'{"message": "files: too large."}', {})]
    session = SimpleNamespace(door=door.Door(world.url, "main.7", "s"))
    assert run._upload(session, {"notebook.html": (b"x", "text/html")}) == []  # type: ignore[arg-type]
    assert "could not be stored: files: too large." in capsys.readouterr().err


class FakeSession:
    """A session with two notebooks and one secret."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self.ran: list[Any] = []

    def number(self) -> int:
        return 1

    def notebook(self, path: str, revision: int = 0) -> Found:
        if path != "/lib/other":
            raise door.Missing(f"Path ({path}) doesn't exist.")
        content = {"cells": [{"cell_type": "markdown", "source": "no"}, {"cell_type": "code", "source": ["a\n", "b"]}]}
        return Found(path, "python", content)

    def worker_environment(self) -> dict[str, str]:
        return {"A": "b"}

    def secret(self, scope: str, key: str) -> str:
        return base64.b64encode(f"{scope}/{key}".encode()).decode()

    def secret_names_of(self, scope: str) -> list[str]:
        return ["k"]

    def secret_scopes(self) -> list[str]:
        return ["s"]

    def run_child(self, path: str, told: dict[str, str], seconds: float, depth: int) -> str | None:
        self.ran.append((path, told, seconds, depth))
        if path == "/bad":
            raise ValueError("Notebook /bad failed.")
        return "value"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(FakeSession(tmp_path), depth=1)  # type: ignore[arg-type]
    yield made
    made.close()


def test_a_kernel_is_answered(broker: Broker) -> None:
    link = Link(broker.address)
    assert link.ask("secret", scope="s", key="k") == base64.b64encode(b"s/k").decode()
    assert (link.ask("secret scopes"), link.ask("secret names", scope="s")) == (["s"], ["k"])
    told = link.ask("notebook", path="./lib/other", base="/main")
    assert told == {"path": "/lib/other", "language": "python", "cells": ["a\nb"]}
    assert link.ask("run", path="./x", base="/a/main", seconds=5, told={"p": "1"}) == "value"
    assert broker._session.ran == [("/a/x", {"p": "1"}, 5.0, 2)]  # type: ignore[attr-defined]
    assert link.ask("worker environment") == {"A": "b"}
    assert broker.exited is None
    link.ask("exit", value="v")
    link.ask("restart")
    assert (broker.exited, broker.restart) == ("v", True)


def test_a_kernel_is_refused_with_a_sentence(broker: Broker) -> None:
    link = Link(broker.address)
    with pytest.raises(Refused, match=re.escape("Path (/nope) doesn't exist.")) as refused:
        link.ask("notebook", path="nope", base="/main")
    assert refused.value.kind == "missing"
    with pytest.raises(Refused, match="Notebook /bad failed"):
        link.ask("run", path="/bad", base="/", seconds=0, told={})
    with pytest.raises(Refused, match="could not answer: TypeError"):
        link.ask("exit", values="x")
    with pytest.raises(Refused, match="leads above"):
        link.ask("notebook", path="../../x", base="/main")


def test_notebooks_that_include_one_another_come_to_an_end(broker: Broker) -> None:
    link = Link(broker.address)
    for _ in range(MAX_NESTED_INCLUDES):
        link.ask("entered", path="/lib/other")
    with pytest.raises(Refused, match="in one another"):
        link.ask("notebook", path="/lib/other", base="/lib/other")
    link.ask("left")
    assert link.ask("notebook", path="/lib/other", base="/lib/other")["path"] == "/lib/other"


def test_an_image_that_cannot_run_notebooks_fails_the_run_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "_NEEDED", ("json", "no_such_kernel"))
    outcome = run.run_notebook({"run": "main.7", "secret": "s", "program": {"notebook": "/x"}})
    assert (outcome.exit_code, outcome.facts) == (1, {})
    assert outcome.error is not None
    assert outcome.error["type"] == "NotebookFailed"
    assert outcome.error["message"].startswith("The driver's image cannot run notebooks: it lacks no_such_kernel")
    assert "no_such_kernel" in capsys.readouterr().err
