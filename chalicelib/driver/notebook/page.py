"""The executed notebook as one HTML page that needs nothing else: no script, no network. Driver side.

nbconvert renders the cells; frame and style are ours. The page's policy lets nothing be loaded from anywhere: what a
notebook shows (`displayHTML`) may bring scripts and images in itself, and no others.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)


def page_of(notebook: Any, model: Mapping[str, Any], facts: str) -> str:
    """The page of an executed notebook (nbformat's node). `facts` is one line about the run."""
    from html import escape

    from .model import encoded

    name = escape(str(model["name"]))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n"
        f"<script>var __DATABRICKS_NOTEBOOK_MODEL = '{encoded(model)}';</script>\n"
        f"<style>{_style()}</style>\n</head>\n<body>\n"
        f"<header><h1>{name}</h1><p>{escape(facts)}</p></header>\n<main>\n{_cells(notebook)}\n</main>\n"
        "</body>\n</html>\n"
    )


def _cells(notebook: Any) -> str:
    """The cells as nbconvert renders them, with no prompts and no anchors of headings."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True, exclude_anchor_links=True
    )
    body, _ = exporter.from_notebook_node(notebook)
    return str(body)


def _style() -> str:
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{_STYLE}\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"


_STYLE = """\
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #636c76; --line: #d8dee4; --code: #f6f8fa; --paper: #fff;
  --bad: #b42318; --bad-paper: #fff1ef; --stripe: #fafbfc; --link: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9198a1; --line: #3d444d; --code: #161b22;
  --paper: #0d1117; --bad: #ff9b92; --bad-paper: #2d1513; --stripe: #12171e; --link: #58a6ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI",
  sans-serif; }
header, main { max-width: 1100px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 24px; border-bottom: 1px solid var(--line); margin-bottom: 20px; }
header h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere; }
header p { color: var(--quiet); margin: 4px 0 14px; overflow-wrap: anywhere; }
pre, code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.cell { margin: 0 0 20px; }
.text_cell a { color: var(--link); }
.input_area { background: var(--code); border: 1px solid var(--line); border-radius: 6px; padding: 9px 12px; }
.highlight { background: none !important; }
.output { margin-top: 6px; max-height: 75vh; overflow: auto; }
.output_area { padding: 3px 12px; }
.output_stderr { color: var(--quiet); }
.output_error { background: var(--bad-paper); border-left: 3px solid var(--bad); padding: 8px 12px; }
img { max-width: 100%; height: auto; }
.output_png img, .output_jpeg img, .output_svg svg { background: #fff; border-radius: 4px; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border: 1px solid var(--line); padding: 4px 9px; text-align: left; vertical-align: top; }
th { background: var(--code); font-weight: 600; }
tbody tr:nth-child(even) { background: var(--stripe); }
.ansi-red-fg, .ansi-red-intense-fg { color: var(--bad); }
.ansi-green-fg, .ansi-green-intense-fg { color: #2f8f46; }
.ansi-blue-fg, .ansi-blue-intense-fg { color: #3b7dd8; }
.ansi-cyan-fg, .ansi-cyan-intense-fg { color: #1b8a9a; }
.ansi-yellow-fg, .ansi-yellow-intense-fg, .ansi-yellow-bg { color: #9a6700; background: none; }
.ansi-magenta-fg, .ansi-magenta-intense-fg { color: #9a4fb5; }
.ansi-bold { font-weight: 600; }
@media print { .output { max-height: none; } }"""
