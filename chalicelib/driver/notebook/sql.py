"""SQL cells: their statements, and the values of widgets in them. Pure."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|;|.", re.DOTALL)


def statements(text: str) -> list[str]:
    """The statements of a cell, split at semicolons outside of quotes and comments; a script (BEGIN … END) is one."""
    if re.match(r"\s*begin\b", text, re.IGNORECASE):
        return [text.strip().rstrip(";")]
    found = ["".join(piece).strip() for piece in _pieces(text)]
    return [piece for piece in found if piece and not _is_comment(piece)]


def _pieces(text: str) -> Iterator[list[str]]:
    piece: list[str] = []
    for token in _TOKEN.findall(text):
        if token == ";":
            yield piece
            piece = []
        else:
            piece.append(token)
    yield piece


def _is_comment(piece: str) -> bool:
    return all(token.isspace() or token.startswith(("--", "/*")) for token in _TOKEN.findall(piece))


def with_values(statement: str, values: Mapping[str, str]) -> str:
    """`$name`, `${name}` and `getArgument("name")` replaced by the values of widgets, as written; Spark sees to any
    other."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return values[name] if name in values else match[0]

    def quoted(match: re.Match[str]) -> str:
        if match[2] not in values:
            return match[0]
        return "'" + values[match[2]].replace("\\", "\\\\").replace("'", "\\'") + "'"

    statement = re.sub(r"\bgetArgument\(\s*(['\"])(\w+)\1\s*\)", quoted, statement)
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", value, statement)


def named(statement: str, values: Mapping[str, str]) -> dict[str, str]:
    """The widgets that a statement names as `:name`: parameters of the statement, so no text of theirs is SQL."""
    text = "".join(" " if token[0] in "'\"`-/" and len(token) > 1 else token for token in _TOKEN.findall(statement))
    return {name: values[name] for name in re.findall(r"(?<![:\w]):([A-Za-z_]\w*)", text) if name in values}
