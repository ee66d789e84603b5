"""Which resource serves a request, as a REST API decides it.

Resources form a tree of path parts. A literal part wins over `{name}`, which wins over `{name+}`; where the winner has
no method for the request, the search goes on to the next best, up to a `/{proxy+}` at the root: path and method are
resolved as a pair (measured on API Gateway by the authors of other emulators: ministack pull request 1423, floci pull
request 3399). Nothing found means 403 "Missing Authentication Token", whether the path or only the method is unknown.

Facts about paths:
- Parts are compared as they came, before percent-decoding, so `a%2Fb` is one part; path parameters are decoded.
- Slashes at the end do not count for matching, and are not part of a greedy parameter; the event's `path` keeps them.
- Slashes at the start are folded into one, in the event's `path` too.
- An empty part inside (`/a//b`) fits no literal and no `{name}`, only `{name+}`. (An inference: AWS documents nothing.)
- `{proxy+}` needs at least one part: `/` and `/a` are not served by `/{proxy+}` and `/a/{proxy+}` respectively.
- A resource has at most one variable child. API Gateway refuses `/{id}` beside `/{proxy+}` or `/{other}` when the API
  is made ("A sibling of this resource already has a variable path part"), so the router refuses them too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

ANY = "ANY"


@dataclass(frozen=True)
class Match:
    """The resource (its template) that serves a request, and its decoded path parameters."""

    resource: str
    parameters: dict[str, str]


@dataclass
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    variable: "tuple[str, _Node] | None" = None
    greedy: "tuple[str, _Node] | None" = None
    template: str | None = None
    methods: frozenset[str] = frozenset()

    def serves(self, method: str) -> bool:
        return self.template is not None and (ANY in self.methods or method in self.methods)


class Routes:
    """The resource tree. Made from templates alone, each resource has `ANY`; from a mapping, the methods it names."""

    def __init__(self, templates: Iterable[str] | Mapping[str, Iterable[str]]) -> None:
        self._root = _Node()
        methods_of = templates if isinstance(templates, Mapping) else {}
        for template in templates:
            self._add(template, frozenset(method.upper() for method in methods_of.get(template, (ANY,))))

    def _add(self, template: str, methods: frozenset[str]) -> None:
        if not template.startswith("/"):
            raise ValueError(f"the route {template!r} does not start with a slash")
        node = self._root
        for part in _parts(template):
            if part.endswith("+}") and not template.endswith(part):
                raise ValueError(f"{part!r} is not the last part of the route {template!r}")
            node = _child(node, part, template)
        node.template, node.methods = template, node.methods | methods

    def find(self, method: str, path: str) -> Match | None:
        """The resource for a raw (still encoded) path, or None."""
        found = _search(self._root, _parts(path), 0, method)
        if found is None:
            return None
        node, values = found
        assert node.template is not None
        return Match(node.template, {name: unquote(value, errors="replace") for name, value in reversed(values)})


def _parts(path: str) -> list[str]:
    trimmed = path.strip("/")
    return trimmed.split("/") if trimmed else []


def _child(node: _Node, part: str, template: str) -> _Node:
    if not part.startswith("{"):
        return node.literals.setdefault(part, _Node())
    if not part.endswith("}"):
        raise ValueError(f"{part!r} in the route {template!r} is neither a literal nor a whole variable")
    name, greedy = part[1:-1].removesuffix("+"), part.endswith("+}")
    current, other = (node.greedy, node.variable) if greedy else (node.variable, node.greedy)
    if other is not None or (current is not None and current[0] != name):
        raise ValueError(f"{part!r} in the route {template!r}: a sibling already has a variable path part")
    if current is None:
        current = (name, _Node())
        if greedy:
            node.greedy = current
        else:
            node.variable = current
    return current[1]


def _search(node: _Node, parts: list[str], at: int, method: str) -> tuple[_Node, list[tuple[str, str]]] | None:
    """Depth first, best kind of part first; the values come back innermost first."""
    if at == len(parts):
        return (node, []) if node.serves(method) else None
    literal = node.literals.get(parts[at])
    if literal is not None:
        found = _search(literal, parts, at + 1, method)
        if found is not None:
            return found
    if node.variable is not None and parts[at]:
        found = _search(node.variable[1], parts, at + 1, method)
        if found is not None:
            found[1].append((node.variable[0], parts[at]))
            return found
    if node.greedy is not None and node.greedy[1].serves(method):
        return node.greedy[1], [(node.greedy[0], "/".join(parts[at:]))]
    return None
