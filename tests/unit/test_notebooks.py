"""The two formats of a notebook, and the ways between them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Language
from chalicelib.core.notebooks import (
    CELL_METADATA,
    check_ipynb,
    code_cell,
    for_jupyter,
    language_of,
    new_notebook,
    parse_source,
    to_source,
)

PYTHON = """\
# Databricks notebook source
# DBTITLE 1,What it is
# MAGIC %md
# MAGIC # A *title*
# MAGIC 
# MAGIC and text

# COMMAND ----------

x = 1

print(x)

# COMMAND ----------

# MAGIC %sql select * from t

# COMMAND ----------

# MAGIC %run ./other $a="1"
"""


def sources(notebook: dict[str, Any]) -> list[str]:
    return [cell["source"] for cell in notebook["cells"]]


def ipynb(*cells: Any, **more: Any) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": list(cells), **more}).encode()


def test_a_python_source_is_cells_with_their_magics_first() -> None:
    notebook = parse_source(PYTHON, Language.PYTHON)
    assert sources(notebook) == [
        "%md\n# A *title*\n\nand text",
        "x = 1\n\nprint(x)",
        "%sql select * from t",
        '%run ./other $a="1"',
    ]
    assert notebook["cells"][0]["metadata"] == {CELL_METADATA: {"showTitle": True, "title": "What it is"}}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["language_info"]["name"] == "python"
    assert [cell["id"] for cell in notebook["cells"]] == ["cell-1", "cell-2", "cell-3", "cell-4"]


def test_what_databricks_wrote_is_written_again_to_the_letter() -> None:
    assert to_source(parse_source(PYTHON, Language.PYTHON), Language.PYTHON) == PYTHON


@pytest.mark.parametrize(
    ("language", "comment"),
    [(Language.PYTHON, "#"), (Language.R, "#"), (Language.SQL, "--"), (Language.SCALA, "//")],
)
def test_each_language_has_its_own_comments(language: Language, comment: str) -> None:
    text = (
        f"{comment} Databricks notebook source\none\n\n{comment} COMMAND ----------\n\n{comment} MAGIC %md\n"
        f"{comment} MAGIC two\n"
    )
    notebook = parse_source(text, language)
    assert sources(notebook) == ["one", "%md\ntwo"]
    assert to_source(notebook, language) == text


def test_a_file_without_the_header_is_one_cell() -> None:
    assert sources(parse_source("import x\n\n# COMMAND ----------\nx.go()\n", Language.PYTHON)) == [
        "import x\n\n# COMMAND ----------\nx.go()"
    ]
    assert sources(parse_source("-- Databricks notebook source\nselect 1", Language.PYTHON)) == [
        "-- Databricks notebook source\nselect 1"
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "# Databricks notebook source", "# Databricks notebook source\n\n"])
def test_an_empty_file_has_no_cells(text: str) -> None:
    assert parse_source(text, Language.PYTHON)["cells"] == []


def test_windows_line_ends_and_byte_order_marks_are_read_over() -> None:
    text = "\ufeff" + PYTHON.replace("\n", "\r\n")
    assert parse_source(text, Language.PYTHON) == parse_source(PYTHON, Language.PYTHON)


def test_blank_magic_lines_may_have_lost_their_last_space() -> None:
    text = "\n".join(line.rstrip() for line in PYTHON.split("\n"))
    assert parse_source(text, Language.PYTHON) == parse_source(PYTHON, Language.PYTHON)


def test_a_hidden_title_stays_hidden() -> None:
    text = "# Databricks notebook source\n# DBTITLE 0,hidden\nx\n"
    notebook = parse_source(text, Language.PYTHON)
    assert notebook["cells"][0]["metadata"][CELL_METADATA] == {"showTitle": False, "title": "hidden"}
    assert to_source(notebook, Language.PYTHON) == text


LINES = st.one_of(
    st.text(st.characters(exclude_characters="\n\r\ufeff", codec="utf-8"), max_size=8),
    st.sampled_from(
        [
            f"{comment} {word}"
            for comment in ("#", "--", "//")
            for word in ("COMMAND ----------", "COMMAND ---------- ", "MAGIC", "MAGIC ", "MAGIC %sql", "DBTITLE 1,a",
                         "DBTITLE 0,", "DBTITLE", "MAGICAL", "Databricks notebook source", "MAGIC # MAGIC x")
        ]
        + ["", "%sql select 1", "%md", "!ls", " %sql", "%%time"]
    ),
)  # fmt: skip
TEXTS = st.lists(LINES, min_size=1, max_size=5).map(lambda lines: "\n".join(lines).strip("\n"))
TITLES = st.one_of(st.just(""), st.text("abc, #ä", min_size=1, max_size=9).map(lambda t: " ".join(t.split())))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TEXTS, TITLES, st.booleans()), max_size=5), st.sampled_from(Language))
def test_what_is_written_is_read_as_the_same_cells(told: list[tuple[str, str, bool]], language: Language) -> None:
    notebook = new_notebook([code_cell(text, title=title, shown=shown) for text, title, shown in told], language)
    only_an_empty_one = len(told) == 1 and not told[0][0] and not told[0][1]
    expected = new_notebook([], language) if only_an_empty_one else notebook
    assert parse_source(to_source(notebook, language), language) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=12).map("\n".join), st.sampled_from(Language), st.booleans())
def test_any_text_is_a_notebook_and_is_written_the_same_ever_after(text: str, language: Language, head: bool) -> None:
    header = to_source(new_notebook([], language), language) if head else ""
    once = to_source(parse_source(header + text, language), language)
    assert to_source(parse_source(once, language), language) == once


def test_jupyters_text_becomes_md_cells_of_the_source() -> None:
    notebook = check_ipynb(
        ipynb(
            {"cell_type": "markdown", "metadata": {}, "source": ["# One\n", "two"]},
            {"cell_type": "raw", "metadata": {}, "source": "as it is"},
            {"cell_type": "code", "metadata": {}, "source": "%sql\nselect 1", "outputs": [], "execution_count": 3},
        )
    )
    assert to_source(notebook, Language.PYTHON) == (
        "# Databricks notebook source\n# MAGIC %md\n# MAGIC # One\n# MAGIC two\n\n# COMMAND ----------\n\n"
        "# MAGIC %md\n# MAGIC as it is\n\n# COMMAND ----------\n\n# MAGIC %sql\n# MAGIC select 1\n"
    )


def test_md_cells_are_text_in_jupyter() -> None:
    notebook = for_jupyter(parse_source(PYTHON, Language.PYTHON))
    assert [(cell["cell_type"], cell["source"]) for cell in notebook["cells"]][:2] == [
        ("markdown", "# A *title*\n\nand text"),
        ("code", "x = 1\n\nprint(x)"),
    ]
    assert "outputs" not in notebook["cells"][0]


@pytest.mark.parametrize(
    ("source", "shown"),
    [("%md one", "one"), ("%md", ""), ("%md-sandbox\n<b>", "<b>"), ("%md  \n x", "\n x"), ("%mdx", None)],
)
def test_an_md_cell_is_one_whose_magic_is_md(source: str, shown: str | None) -> None:
    (cell,) = for_jupyter(new_notebook([code_cell(source)], Language.PYTHON))["cells"]
    assert (cell["cell_type"], cell["source"]) == (("code", source) if shown is None else ("markdown", shown))


def test_ids_are_kept_where_they_can_be_and_are_unique() -> None:
    cells = [{"cell_type": "raw", "id": id, "source": ""} for id in ("a", "a", "cell-3", "cell-3", 5, "ä")]
    ids = [cell["id"] for cell in check_ipynb(ipynb(*cells))["cells"]]
    assert ids[0] == "a" and ids[2] == "cell-3" and len(set(ids)) == 6


def test_outputs_and_metadata_of_a_jupyter_file_are_kept() -> None:
    output = {"output_type": "stream", "name": "stdout", "text": ["x"]}
    cell = {"cell_type": "code", "metadata": {"tags": ["a"]}, "source": "x", "outputs": [output], "execution_count": 7}
    kept = check_ipynb(ipynb(cell, metadata={"kernelspec": {"name": "python3"}}))
    assert kept["cells"] == [{**cell, "id": "cell-1"}]
    assert kept["metadata"] == {"kernelspec": {"name": "python3"}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"nbformat": 4, "cells": ["\\ud800"]}', "it is not JSON"),
        (b'{"nbformat": 4, "cells": [NaN]}', "it is not JSON"),
        (b"[]", "it has no nbformat"),
        (b"{}", "it has no nbformat"),
        (b'{"nbformat": "4"}', "it has no nbformat"),
        (b'{"nbformat": 3, "worksheets": []}', "only nbformat 4"),
        (b'{"nbformat": 4}', "no list of cells"),
        (ipynb("x"), "Cell 1 of the notebook is neither"),
        (ipynb({"cell_type": "raw"}, {"cell_type": "chart"}), "Cell 2 of the notebook is neither"),
        (ipynb({"cell_type": "code", "source": [1]}), "Cell 1 of the notebook has a source that is no text"),
    ],
)
def test_what_is_no_notebook_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_ipynb(body)


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"language_info": {"name": "python"}}, Language.PYTHON),
        ({"language_info": {"name": "scala"}}, Language.SCALA),
        ({"kernelspec": {"language": "R", "name": "ir"}}, Language.R),
        ({"language_info": {"name": "SQL"}}, Language.SQL),
        ({"language_info": "odd", "kernelspec": None}, Language.PYTHON),
        ({}, Language.PYTHON),
    ],
)
def test_a_jupyter_file_says_its_language(metadata: Any, language: Language) -> None:
    assert language_of({"metadata": metadata}) is language
