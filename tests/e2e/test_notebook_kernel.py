"""Notebooks in a real kernel: how they end, and what `dbutils` and magics do. Without Spark where none is needed."""

from __future__ import annotations

import base64
import html.parser
import json
import os
import pathlib
import re
import signal
from typing import Any
from urllib.parse import unquote

import pytest

from tests.e2e.live import eventually
from tests.e2e.notebook_door import Door, Driver, notebook

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENGINES = {"newest": ("SPARKPLANE_ENGINE", ".venv-engine"), "3.5": ("SPARKPLANE_ENGINE35", ".venv-engine35")}


def driver_of(name: str, work: pathlib.Path) -> Driver:
    """A driver with an installed Spark, or a skip."""
    variable, default = ENGINES[name]
    place = ROOT / os.environ.get(variable, default)
    homes = list(place.glob("lib/python*/site-packages/pyspark"))
    if not homes or not list(place.glob("lib/python*/site-packages/nbclient")):
        pytest.skip(f"Spark {name} with what notebooks need is not installed in {place}")
    return Driver(place / "bin" / "python", homes[0], work)


@pytest.fixture
def driver(tmp_path: pathlib.Path) -> Driver:
    return driver_of("newest", tmp_path)


def test_parameters_reach_widgets_and_an_exit_ends_the_notebook_as_a_success(driver: Driver) -> None:
    book = notebook(
        "%md\n# Title",
        "dbutils.widgets.text('a', 'default')\ndbutils.widgets.text('b', 'default')",
        "print(dbutils.widgets.get('a'), getArgument('b'), dbutils.widgets.getAll())",
        "try:\n    dbutils.notebook.exit({'n': 1})\nexcept Exception:\n    print('caught')",
        "print('never')",
    )
    done = driver.run(book, {"a": "told"}, linked=frozenset({"/main"}))
    assert (done.code, done.error, done.result) == (0, "", "{'n': 1}")
    assert done.report["notebook"] == {
        "exited": True, "result": "{'n': 1}", "truncated": False, "stored": ["notebook.html", "notebook.ipynb"]
    }  # fmt: skip
    assert done.text(2) == "told default {'a': 'told', 'b': 'default'}\n"
    assert (done.text(3), done.outputs(4)) == ("Notebook exited: {'n': 1}\n", [])
    assert "told default" in done.stdout


ENDS = {
    "an exception": ("def f():\n    raise KeyError('absent')\nf()", "KeyError: 'absent'"),
    "a syntax error": ("def f(:", "SyntaxError: invalid syntax"),
    "os._exit": ("import os; os._exit(5)", "NotebookFailed: The Python process exited with exit code 5."),
    "a kill": (
        "import os; os.kill(os.getpid(), 9)",
        (
            "NotebookFailed: The Python process exited with exit code 137 (SIGKILL). This may have been caused by an "
            "out-of-memory error."
        ),
    ),
    "8 MB of output": (
        "while True:\n    print('x' * 1_000_000)",
        (
            "NotebookFailed: The output of cell 2 is larger than 8 MB: the rest of the run was cancelled, and the run "
            "is marked as failed."
        ),
    ),
    "a script that fails": ("%sh\necho said; exit 3", "RuntimeError: %sh: the command returned exit code 3."),
    "a widget that is not there": (
        "dbutils.widgets.get('x')",
        "InputWidgetNotDefined: No input widget named x is defined",
    ),
    "a secret that is not there": (
        "dbutils.secrets.get('s', 'k')",
        "Refused: Secret does not exist with scope: s and key: k",
    ),
    "a notebook that is not there": ("%run ./nope", "Refused: Path (/nope) doesn't exist."),
    "a notebook that includes itself": (
        "%run /main",
        "Refused: %run includes more than 20 notebooks in one another: /main.",
    ),
    "half a surrogate pair": ("raise ValueError('\\ud800')", "ValueError: ?"),
    "SQL without Spark": ("%sql select 1", "RuntimeError: %sql needs Spark, which this run has not."),
}


@pytest.mark.parametrize(("cell", "error"), ENDS.values(), ids=ENDS.keys())
def test_an_end_that_is_a_failure_is_told_and_what_ran_before_is_kept(driver: Driver, cell: str, error: str) -> None:
    done = driver.run(notebook("print('before')", cell, "print('after')"))
    assert done.code == 1
    assert done.error.startswith(error)
    assert (done.text(0), done.outputs(2)) == ("before\n", [])
    assert "before" in done.page
    assert done.report["notebook"]["exited"] is False


def test_a_notebook_that_does_not_exist_is_named(driver: Driver) -> None:
    done = driver.run({"/main": notebook()}, main="/Shared/absent")
    assert (done.code, done.error) == (1, "ProgramNotFound: The notebook /Shared/absent does not exist.")


def test_a_long_exit_value_is_stored_as_far_as_it_is_kept(driver: Driver) -> None:
    done = driver.run(notebook("dbutils.notebook.exit('é' * 700_000)"))
    assert done.report["notebook"]["truncated"] is True
    assert len(done.files["result.txt"]) == 1 << 20
    assert len(json.dumps(done.report)) < 20_000


def test_a_new_python_forgets_variables_and_keeps_parameters(driver: Driver) -> None:
    cells = "x = 1", "dbutils.library.restartPython()", "print('x' in globals(), dbutils.widgets.get('a'))"
    done = driver.run(notebook(*cells), {"a": "told"})
    assert (done.code, done.text(2)) == (0, "False told\n")


def test_run_includes_another_notebook_in_this_namespace(driver: Driver) -> None:
    books = {
        "/dir/main": notebook('%run ../lib/other $name="x y"', "print(helper(), total)"),
        "/lib/other": notebook("%md\nno", "%run ./deeper", "def helper():\n    return dbutils.widgets.get('name')"),
        "/lib/deeper": notebook("total = 3\ntotal + 1"),
    }
    done = driver.run(books, main="/dir/main")
    assert (done.code, done.text(1)) == (0, "x y 3\n")
    assert done.outputs(0)[-1]["data"]["text/plain"] == ["4"]


def test_notebooks_run_others_with_kernels_of_their_own(driver: Driver) -> None:
    tell = "try:\n    dbutils.notebook.run({}, {})\nexcept Exception as error:\n    print(error)"
    books = {
        "/main": notebook(
            "x = 1",
            "print(dbutils.notebook.run('./child', 60, {'p': 5}), dbutils.notebook.run('./silent'))",
            tell.format("'/fails'", 60),
            tell.format("'/slow'", 2),
            tell.format("'/itself'", 60),
            tell.format("'/absent'", 60),
        ),
        "/child": notebook("dbutils.notebook.exit(dbutils.widgets.get('p') + str('x' in globals()))"),
        "/silent": notebook("1"),
        "/fails": notebook("raise ValueError('bad')"),
        "/slow": notebook("import time; time.sleep(600)"),
        "/itself": notebook("dbutils.notebook.run('/itself', 60)"),
    }
    done = driver.run(books)
    assert done.code == 0
    assert done.text(1) == "5False None\n"
    assert done.text(2) == "Notebook /fails failed. ValueError: bad\n"
    assert done.text(3) == "Notebook /slow failed. The notebook /slow took longer than 2 seconds.\n"
    assert done.text(4).endswith("dbutils.notebook.run: /itself would be nested more than 5 deep.\n")
    assert done.text(5) == "Path (/absent) doesn't exist.\n"


def test_a_secret_is_shown_nowhere(driver: Driver) -> None:
    value = "hunter2 <&\n line two"
    book = notebook(
        "value = dbutils.secrets.get('scope/é', 'key')\nprint(dbutils.secrets.listScopes(), value)\nvalue",
        "for piece in (value[:6], value[6:13], value[13:]):\n    print(piece, end='', flush=True)",
        "displayHTML('<b>' + value + '</b>')",
        "assert dbutils.secrets.getBytes('scope/é', 'key').decode() == value\nprint(dbutils.secrets.list('scope/é'))",
        "try:\n    raise ValueError(value)\nexcept ValueError:\n    dbutils.notebook.exit(value)",
    )
    done = driver.run(book, secrets={("scope/é", "key"): value})
    assert (done.code, done.result) == (0, "[REDACTED]")
    failed = driver.run(
        notebook("raise ValueError(dbutils.secrets.get('scope/é', 'key'))"), secrets={("scope/é", "key"): value}
    )
    assert failed.error == "ValueError: [REDACTED]"
    for left in (done, failed):
        model = unquote(base64.b64decode(_model_text(left.page)).decode())
        report, files = json.dumps(left.report), [body.decode() for body in left.files.values()]
        for shown in (model, report, left.stdout, left.stderr, *files):
            assert "hunter2" not in shown
            assert "line two" not in shown
        assert "[REDACTED]" in model


def _model_text(page: str) -> str:
    match = re.search(r"__DATABRICKS_NOTEBOOK_MODEL = '([^']*)'", page)
    assert match is not None
    return match.group(1)


class Loads(html.parser.HTMLParser):
    """What a page would load, and its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.found += [str(told[name]) for name in ("src", "href", "srcset", "data") if name in told and tag != "a"]
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(told["content"])


def test_the_page_needs_nothing_else_and_nothing_breaks_out_of_it(driver: Driver) -> None:
    book = notebook(
        "%md\nText with $x^2$ and a [link](https://example.org).",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])",
        "import pandas as pd\ndisplay(pd.DataFrame({'a': ['</script><script>alert(1)</script>']}))",
        'print("\'; alert(1)</script> {{x}} {% raw %}")',
    )
    done = driver.run({"/a'</title>b": book}, main="/a'</title>b")
    assert done.code == 0
    loads = Loads()
    loads.feed(done.page)
    assert [one[:22] for one in loads.found] == ["data:image/png;base64,"]
    assert loads.policy.startswith("default-src 'none'")
    assert "cdnjs" not in done.page
    assert done.page.count("<script") == 1
    model = json.loads(unquote(base64.b64decode(_model_text(done.page)).decode()))
    assert (model["name"], model["version"], len(model["commands"])) == ("title>b", "NotebookV1", 4)
    kinds = [[result["type"] for result in (one["results"] or {"data": []})["data"]] for one in model["commands"]]
    assert kinds == [[], ["ansi", "image"], ["table"], ["ansi"]]
    assert model["commands"][2]["results"]["data"][0]["data"] == [["</script><script>alert(1)</script>"]]


def test_what_is_asked_to_end_leaves_no_kernel_behind(driver: Driver, tmp_path: pathlib.Path) -> None:
    cell = "%sh\necho $$ > pids; echo $PPID >> pids; sleep 600"
    with Door({"/main": notebook(cell)}) as door:
        process = driver.start(door, "/main", {}, spark=False)
        try:
            pids = eventually(lambda: _pids(tmp_path / "pids"), "the script's and the kernel's pids", 60)
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(30) == -signal.SIGTERM
            eventually(lambda: not any(map(_alive, pids)), "end of the kernel and its script", 10)
        finally:
            os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
            process.communicate()
    assert door.reports[-1]["signal"] == signal.SIGTERM


def _pids(path: pathlib.Path) -> list[int]:
    words = path.read_text().split() if path.exists() else []
    return [int(word) for word in words] if len(words) == 2 else []


def _alive(pid: int) -> bool:
    try:
        return "Z" != pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


WITH_SPARK: dict[str, Any] = {
    "/main": notebook(
        "import os\nspark.range(3).createOrReplaceTempView('numbers')",
        "%sql\nselect 1;\nselect id, '$day' as day from numbers where id >= :least order by id",
        "print(_sqldf.count(), sc.parallelize([1, 2]).map(lambda n: os.environ['PLAIN']).collect())",
        "display(spark.range(1200))",
        "print(dbutils.notebook.run('/child', 60))",
        "spark.sql('select nope')",
    ),
    "/child": notebook(
        "dbutils.notebook.exit(str(spark.catalog.tableExists('numbers')) + str(spark.range(2).count()))"
    ),
}


@pytest.mark.parametrize("name", ENGINES)
def test_kernels_join_the_drivers_spark(name: str, tmp_path: pathlib.Path) -> None:
    done = driver_of(name, tmp_path).run(
        WITH_SPARK, {"least": "1", "day": "Monday"}, spark=True, environment={"PLAIN": "plain-value"}
    )
    assert done.error.startswith("AnalysisException: ")
    assert "nope" in done.error
    table = done.outputs(1)[0]["data"]["application/vnd.sparkplane.table+json"]
    assert table["rows"] == [[1, "Monday"], [2, "Monday"]]
    assert done.text(2) == "2 ['plain-value', 'plain-value']\n"
    shown = done.outputs(3)[0]["data"]["application/vnd.sparkplane.table+json"]
    assert (len(shown["rows"]), shown["truncated"]) == (1000, True)
    assert done.text(4) == "False2\n"
