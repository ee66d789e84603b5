"""Secrets in a run's environment variables: `{{secrets/<scope>/<key>}}`, asked for at the control plane's door.

A value comes to the driver's Python and to Python workers alone: it is in no Spark conf, in no request to the engine
and in no file. Called by `bootstrap` for runs whose config says "secret_references".
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .notebook.door import Door

_REFERENCE = re.compile(r"\{\{secrets/([^/{}]+)/([^/{}]+)\}\}")


class SecretNotFound(Exception):
    """A variable names a secret that the run may not read, or that cannot be in an environment. One sentence."""


def resolve_secrets(
    environment: Mapping[str, str], api: str, run: str, secret: str
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The variables without references, those with them replaced, and the secrets' texts. Raises SecretNotFound."""
    from .notebook.door import Door, DoorError

    door, known = Door(api, run, secret), dict[str, str]()

    def text_of(found: re.Match[str]) -> str:
        if found[0] not in known:
            known[found[0]] = _value(door, found[1], found[2])
        return known[found[0]]

    plain = {name: value for name, value in environment.items() if not _REFERENCE.search(value)}
    resolved: dict[str, str] = {}
    for name in sorted(set(environment) - set(plain)):
        try:
            resolved[name] = _REFERENCE.sub(text_of, environment[name])
        except (DoorError, ValueError) as error:
            raise SecretNotFound(f"The environment variable {name} cannot be had: {error}") from None
    return plain, resolved, list(known.values())


def _value(door: Door, scope: str, key: str) -> str:
    """A secret as text. Raises DoorError, ValueError."""
    import base64
    from urllib.parse import quote

    told = door.get(f"secrets/{quote(scope, safe='')}/{quote(key, safe='')}")
    try:
        text = base64.b64decode(told["value"]).decode()
    except UnicodeDecodeError:
        raise ValueError(f"The secret {key} of scope {scope} is not text.") from None
    if "\0" in text:
        raise ValueError(f"The secret {key} of scope {scope} cannot be in an environment.")
    return text
