"""A history server's pages in a browser: how it gets its credentials, what it is told when there is nothing to show.

A browser that follows the page's own links sends no Authorization header. Whoever has a token asks for a session, and
the browser keeps its cookie for this one history server: no script reads it, no other site's page sends it, and it
opens what is shown and nothing else (`services.access`). A browser that comes without one is sent to the console, which
asks for a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import quote, urlencode

from chalicelib.core.credentials import COOKIE, cookie_token
from chalicelib.dialects.analytics_engine.reading import pool_of
from chalicelib.dialects.http import Answer, Request
from chalicelib.ports import Ports
from chalicelib.services import access
from chalicelib.services.access import PAGES_MS, Call

SERVER = "/spark_history_server"
AGAIN_S = 3
"""After how many seconds a browser asks again for a page that may come."""

POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "worker-src 'none'; frame-ancestors 'none'"
)
"""What a page of Spark's may load: it is full of scripts in its own text, and shows what users wrote. Newer Sparks have
a policy of their own, which lets in those scripts alone that Spark wrote; both hold."""

GUARDED: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


STATIC = {"Cache-Control": "private, max-age=600"}
"""For the style sheets and scripts that Spark ships, some eighteen a page, which it wants to be asked for each time."""


def guarded(passed: Mapping[str, str], *, static: bool) -> dict[str, str]:
    """The headers of what is shown, with ours."""
    own = passed.get("Content-Security-Policy")
    policy = {"Content-Security-Policy": f"{POLICY}, {own}"} if own else {}
    return {**passed, **GUARDED, **policy, **(STATIC if static else {})}


def place_of(request: Request) -> str:
    """The path of the history server that a request is about, as its caller sees it (with a stage, where the API has
    one)."""
    return request.path.partition(SERVER)[0] + SERVER


def enter(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /spark_history_server/session: a cookie that opens the pages of this instance's history server."""
    pool_of(ports, call, request)
    place = place_of(request)
    return _cookie(request, access.open_pages(ports, call, place), PAGES_MS // 1000)


def leave(ports: Ports, call: Call, request: Request) -> Answer:
    """DELETE /spark_history_server/session: the browser forgets the cookie, and it is worthless."""
    pool_of(ports, call, request)
    if text := cookie_token(request.headers.get("cookie")):
        access.close_pages(ports, call, text)
    return _cookie(request, "", 0)


def _cookie(request: Request, value: str, seconds: int) -> Answer:
    secure = "" if request.headers.get("x-forwarded-proto") == "http" else "; Secure"
    told = f"{COOKIE}={value}; Path={place_of(request)}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    return Answer(None, 204, {"Set-Cookie": told, "Cache-Control": "no-store"})


def wanted(request: Request) -> bool:
    """Whether a person's browser asks for one of the pages."""
    return (
        request.method == "GET"
        and request.resource.endswith(f"{SERVER}/{{path+}}")
        and "text/html" in request.headers.get("accept", "")
    )


def told(request: Request, status: int, message: str, headers: Mapping[str, str]) -> Answer:
    """What a browser gets in place of a page: without credentials the way to the console, else the reason, and the page
    itself as soon as it can be had."""
    console = _console(request)
    if status == 401:
        return Answer(None, 302, {"Location": console, "Cache-Control": "no-store"})
    again = f'<meta http-equiv="refresh" content="{AGAIN_S}">' if "Retry-After" in headers else ""
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}<link rel="icon" href="data:,">'
        "<title>Spark history server</title></head>"
        f'<body style="font: 15px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 10vh auto; padding: 0 1rem">'
        f'<h1 style="font-size: 1.35rem">Spark history server</h1><p>{escape(message)}</p>'
        f'<p><a href="{escape(console)}" rel="noopener">Sparkplane</a></p></body></html>'
    )
    kept = {name: value for name, value in headers.items() if name != "Content-Type"}
    own = {**kept, **GUARDED, "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}
    return Answer(page.encode(), status, own)


def _console(request: Request) -> str:
    """The console's page of this history server, and in it what was asked for."""
    root, _, rest = request.path.partition("/v4/analytics_engines/")
    instance, _, asked = rest.partition(f"{SERVER}/ui")
    query = f"?{urlencode(request.query)}" if request.query else ""
    return f"{root}/#history/{instance.partition('/')[0]}{quote(asked + query)}"
