"""What people may set: Spark settings and environment variables. One rule, whichever way they come in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from chalicelib.core.errors import Invalid

IDENTITY_CONF = re.compile(
    r"spark\.(master|submit\.deployMode|app\.id"
    r"|kubernetes\.(namespace|context|container\.image.*|(driver|executor)\.(container\.image|podTemplate.*|secret.*|volumes.*|pod\.name)"
    r"|authenticate\..*|(driver|executor)\.(service|scheduler).*|driver\.label\.sparkplane-.*|file\.upload\.path"
    r"|(driver|executor)\.limit.*"
    r"|(driver|executor)\.request\.cores|scheduler\..*|(driver|executor)\.pod\.featureSteps|(driver|executor)\.label\.queue"
    r"|(driver|executor)\.(label|annotation)\.(yunikorn\.apache\.org|scheduling\.volcano\.sh|scheduling\.k8s\.io)/.*)"
    r"|hadoop\.fs\.s3.*(?i:access|secret|session|credentials|assumed).*)"
)
"""Settings that decide who a driver is, where it runs, and what it takes beyond what it was granted. A user's conf may
not contain them (DESIGN, section 7)."""

_ENVIRONMENT_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""What Kubernetes takes as the name of a container's variable."""


def check_conf(conf: Mapping[str, str], *, field: str) -> None:
    """Refuse names and values that no Spark conf can have, and a setting that would change identity, namespace, service
    account, image, pod template or volumes. An empty value is one. Raises Invalid."""
    for name, value in conf.items():
        check_name(name, field=field)
        if IDENTITY_CONF.fullmatch(name):
            raise Invalid(f"{field}: {name} is set by the platform and cannot be overridden.", field=field)
        _check_value(name, value, field=field)


def check_name(name: str, *, field: str) -> None:
    """Refuse what is no setting's name: nothing, and what has a blank, a control character or `=`. Raises Invalid."""
    if not name or "=" in name or any(c.isspace() or not c.isprintable() for c in name):
        raise Invalid(f"{field}: {name!r} cannot be the name of a property.", field=field)


def _check_value(name: str, value: str, *, field: str) -> None:
    if any(c in value for c in "\0\r\n"):
        raise Invalid(f"{field}: the value of {name} has a line break or a NUL character.", field=field)


def check_environment(environment: Mapping[str, str], *, field: str, one_line: bool) -> None:
    """Refuse variables that no process can have. `one_line` is for an environment that travels as a Spark conf, which
    takes no line breaks. Raises Invalid."""
    for name, value in environment.items():
        if not _ENVIRONMENT_NAME.fullmatch(name):
            raise Invalid(f"{field}: {name!r} cannot be the name of an environment variable.", field=field)
        if one_line:
            _check_value(name, value, field=field)
        elif "\0" in value:
            raise Invalid(f"{field}: the value of {name} has a NUL character.", field=field)


def check_words(words: Iterable[str], *, field: str) -> None:
    """Refuse texts that no process can be given. Raises Invalid."""
    if any("\0" in word for word in words):
        raise Invalid(f"{field}: a NUL character cannot be passed on.", field=field)
