"""The front on the wire: what clients and the handler see of each other through a real connection."""

import base64
import contextlib
import gzip
import http.client
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from sandbox.front import Server, Settings, front, gateway_responses, serve

Event = dict[str, Any]
ROUTES = ["/", "/echo", "/kv/{name}", "/{proxy+}"]
MEGABYTE = 1024 * 1024
DEADLINE = 10


class Site:
    """A front in front of a handler that notes its events; `log` has the lines it wrote."""

    def __init__(self, handler: Callable[[Event], Any], routes: Any, binary: list[str], settings: Settings) -> None:
        self.events: list[Event] = []
        self.log: list[str] = []
        self._handler = handler
        app = front(
            self._note,
            routes,
            binary_types=binary,
            responses=gateway_responses(),
            settings=settings,
            log=self.log.append,
        )
        self.ports: list[int] = []
        self.server: Server = serve(app, "127.0.0.1", 0, self.ports.append)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def _note(self, event: Event) -> Any:
        self.events.append(event)
        return self._handler(event)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=DEADLINE)

    def exchange(self, raw: bytes, answers: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
        """Send bytes on a new connection and read that many answers to POST or GET requests."""
        with self.connect() as connection:
            connection.sendall(raw)
            return read_answers(connection, answers)


def read_answers(connection: socket.socket, count: int) -> list[tuple[int, dict[str, str], bytes]]:
    answers = []
    stream = connection.makefile("rb")
    while len(answers) < count:
        status = int(stream.readline().split()[1])
        headers = dict(http.client.parse_headers(stream).items())
        if status != 100:
            answers.append((status, headers, stream.read(int(headers.get("content-length", 0)))))
    return answers


def ok(event: Event) -> Any:
    return {"statusCode": 200, "body": json.dumps({"path": event["path"], "body": event["body"]})}


@pytest.fixture
def start() -> Iterator[Callable[..., Site]]:
    with contextlib.ExitStack() as stack:

        def begin(
            handler: Callable[[Event], Any] = ok, *, routes: Any = None, binary: Any = (), **settings: Any
        ) -> Site:
            site = Site(handler, ROUTES if routes is None else routes, list(binary), Settings(**settings))
            stack.callback(site.server.stop)
            return site

        yield begin


def test_the_handler_gets_the_event_of_a_rest_api(start):
    site = start(binary=["application/zip"])
    requests.post(
        site.url + "/kv/a%2Fb/?q=1&q=two+words&empty=&x=%C3%BC",
        data='{"ä": 1}'.encode(),
        headers={"X-MiXed": "yes", "Content-Type": "application/json", "User-Agent": "test"},
    )
    (event,) = site.events
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/kv/{name}", "/kv/a%2Fb/", "POST")
    assert event["pathParameters"] == {"name": "a/b"}
    assert event["queryStringParameters"] == {"q": "two words", "empty": "", "x": "ü"}
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "two words"], "empty": [""], "x": ["ü"]}
    assert (event["body"], event["isBase64Encoded"], event["stageVariables"]) == ('{"ä": 1}', False, None)
    assert event["headers"]["X-MiXed"] == "yes" and event["multiValueHeaders"]["X-MiXed"] == ["yes"]
    assert event["headers"]["X-Forwarded-Port"] == str(site.server.port)
    assert not {"content-length", "connection"} & {name.lower() for name in event["headers"]}
    context = event["requestContext"]
    assert (context["resourcePath"], context["path"], context["httpMethod"]) == ("/kv/{name}", event["path"], "POST")
    assert (context["stage"], context["domainName"]) == ("api", "127.0.0.1")
    assert (context["identity"]["sourceIp"], context["identity"]["userAgent"]) == ("127.0.0.1", "test")
    assert isinstance(context["requestTimeEpoch"], int) and context["requestId"]
    json.dumps(event)


def test_what_a_request_does_not_have_is_null(start):
    site = start()
    requests.get(site.url + "/")
    (event,) = site.events
    absent = ("body", "pathParameters", "queryStringParameters", "multiValueQueryStringParameters")
    assert [event[name] for name in absent] == [None] * 4


def test_the_last_of_repeated_headers_counts_and_all_are_there(start):
    site = start()
    site.exchange(b"GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nCookie: a=1\r\n\r\n")
    (event,) = site.events
    assert (event["headers"]["X-A"], event["multiValueHeaders"]["X-A"]) == ("2", ["1", "2"])


def test_a_forwarding_proxy_in_front_is_kept_in_the_chain(start):
    site = start()
    requests.get(site.url + "/", headers={"x-forwarded-for": "10.0.0.9"})
    forwarded = [value for name, value in site.events[0]["headers"].items() if name.lower() == "x-forwarded-for"]
    assert forwarded == ["10.0.0.9, 127.0.0.1"]


def test_a_semicolon_splits_a_query_as_on_aws_and_bare_braces_are_refused(start):
    site = start()
    requests.get(site.url + "/?a=1;b=2")
    assert site.events[0]["queryStringParameters"] == {"a": "1", "b": "2"}
    ((status, _, _),) = site.exchange(b"GET /?q={a|b} HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (status, len(site.events)) == (400, 1)


def test_a_get_with_a_body_reaches_the_handler(start):
    site = start()
    answer = requests.get(site.url + "/echo", data='{"job_id": "1"}', headers={"Content-Type": "text/json"})
    assert answer.json()["body"] == '{"job_id": "1"}'


@pytest.mark.parametrize("target", [b"http://any.test/kv/x?q=1", b"HTTP://any.test:81/kv/x?q=1"])
def test_a_target_in_absolute_form_is_served_like_a_plain_one(start, target):
    site = start()
    ((status, _, _),) = site.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: any.test\r\n\r\n")
    (event,) = site.events
    assert (status, event["path"], event["queryStringParameters"]) == (200, "/kv/x", {"q": "1"})
    assert event["requestContext"]["domainName"] == "any.test"


def test_an_absolute_target_without_a_path_is_the_root(start):
    site = start()
    site.exchange(b"GET http://any.test HTTP/1.1\r\nHost: any.test\r\n\r\n")
    site.exchange(b"GET http://any.test?q=1 HTTP/1.1\r\nHost: any.test\r\n\r\n")
    assert [(event["path"], event["resource"]) for event in site.events] == [("/", "/"), ("/", "/")]


def test_slashes_at_the_start_are_folded_and_those_inside_are_kept(start):
    site = start()
    site.exchange(b"GET //echo HTTP/1.1\r\nHost: h\r\n\r\n")
    site.exchange(b"GET /x//y HTTP/1.1\r\nHost: h\r\n\r\n")
    assert [(event["path"], event["resource"]) for event in site.events] == [("/echo", "/echo"), ("/x//y", "/{proxy+}")]


def test_a_path_without_a_route_gets_the_gateways_own_answer(start):
    site = start(routes=["/echo"])
    answer = requests.post(site.url + "/other", data=b"ignored")
    assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})
    assert answer.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    assert site.events == []


@pytest.mark.parametrize(
    ("content_type", "binary", "encoded"),
    [
        ("application/octet-stream", ["application/octet-stream"], True),
        ("multipart/form-data; boundary=b", ["multipart/form-data"], True),
        ("application/json", ["*/*"], True),
        ("text/plain", ["application/octet-stream"], False),
    ],
)
def test_a_body_of_a_binary_type_arrives_as_base64(start, content_type, binary, encoded):
    site = start(binary=binary)
    requests.post(site.url + "/echo", data=b"plain", headers={"Content-Type": content_type})
    (event,) = site.events
    assert event["isBase64Encoded"] is encoded
    assert event["body"] == (base64.b64encode(b"plain").decode() if encoded else "plain")


def test_a_body_that_is_no_text_arrives_whole_and_the_log_warns_of_its_type(start):
    site = start()
    requests.post(site.url + "/echo", data=b"\xff\xfe\x00", headers={"Content-Type": "text/plain"})
    (event,) = site.events
    assert base64.b64decode(event["body"]) == b"\xff\xfe\x00" and event["isBase64Encoded"]
    assert "AWS would damage it" in site.log[0]


def test_a_chunked_body_arrives_whole_and_its_trailers_are_no_headers(start):
    site = start()
    chunks = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: no\r\n\r\n"
    ((status, _, body),) = site.exchange(
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    )
    assert (status, json.loads(body)["body"]) == (200, "abcde")
    assert not {"x-trailer", "transfer-encoding"} & {name.lower() for name in site.events[0]["headers"]}


def test_pipelined_requests_are_answered_in_order(start):
    site = start()
    one = b"POST /kv/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    raw = (
        one
        + b"GET /kv/2 HTTP/1.1\r\nHost: h\r\n\r\n"
        + one.replace(b"/1 ", b"/3 ")
        + b"GET /kv/4 HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    answers = site.exchange(raw, 4)
    assert [json.loads(body)["path"] for _, _, body in answers] == ["/kv/1", "/kv/2", "/kv/3", "/kv/4"]


def test_nonsense_behind_a_request_does_not_take_its_answer(start):
    release = threading.Event()

    def slow(event: Event) -> Any:
        release.wait(DEADLINE)
        return ok(event)

    site = start(slow)
    with site.connect() as connection:
        connection.sendall(b"GET /kv/1 HTTP/1.1\r\nHost: h\r\n\r\n\x01\x02 nonsense\r\n\r\n")
        release.set()
        ((status, _, body),) = read_answers(connection, 1)
        assert (status, json.loads(body)["path"]) == (200, "/kv/1")
        assert connection.recv(100) == b""


def test_nonsense_alone_is_a_bad_request(start):
    site = start()
    ((status, _, body),) = site.exchange(b"\x01\x02 nonsense\r\n\r\n")
    assert (status, json.loads(body)) == (400, {"message": "Bad Request"})


def test_a_client_that_closes_its_sending_side_still_gets_its_answer(start):
    site = start()
    with site.connect() as connection:
        connection.sendall(b"GET /kv/1 HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        ((status, _, _),) = read_answers(connection, 1)
    assert status == 200


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
def test_an_offer_to_upgrade_is_ignored_and_loses_nothing(start, framing):
    site = start()
    head, _, body = framing.partition(b"\r\n\r\n")
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with site.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\n" + offer + head + b"\r\n\r\n" + body[:2])
        connection.sendall(body[2:] + b"GET /kv/next HTTP/1.1\r\nHost: h\r\n\r\n")
        (first, _, body_one), (second, _, _) = read_answers(connection, 2)
    assert (first, json.loads(body_one)["body"], second) == (200, "abc", 200)
    assert [event["path"] for event in site.events] == ["/echo", "/kv/next"]


def test_a_head_request_gets_the_headers_and_no_body(start):
    site = start()
    with requests.Session() as session:
        answer = session.head(site.url + "/echo")
        assert (answer.status_code, answer.content) == (200, b"") and int(answer.headers["content-length"]) > 0
        assert session.get(site.url + "/echo").status_code == 200
    assert site.events[0]["httpMethod"] == "HEAD"


def test_an_answer_without_content_leaves_the_connection_usable(start):
    site = start(lambda event: {"statusCode": 204, "body": "surplus"})
    get = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    assert [status for status, _, _ in site.exchange(get + get, 2)] == [204, 204]


def test_cookies_are_sent_one_by_one_and_a_gzipped_answer_passes_through(start):
    packed = base64.b64encode(gzip.compress(b'{"a": 1}')).decode()
    result = {
        "statusCode": 200,
        "headers": {"Content-Encoding": "gzip"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
        "body": packed,
        "isBase64Encoded": True,
    }
    site = start(lambda event: result, binary=["*/*"])
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=DEADLINE)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert gzip.decompress(answer.read()) == b'{"a": 1}'
    connection.close()


def test_a_handler_that_raises_tells_the_log_and_not_the_client(start):
    def broken(event: Event) -> Any:
        raise KeyError("the secret of the handler")

    site = start(broken)
    answer = requests.get(site.url + "/")
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})
    assert "the secret of the handler" in site.log[0]
    assert site.log[1].startswith("GET / 502 ") and "KeyError" in site.log[1]


def test_a_malformed_result_is_a_bad_gateway_and_the_log_has_the_reason(start):
    site = start(lambda event: {"statusCode": 200, "body": {"not": "text"}})
    answer = requests.get(site.url + "/")
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})
    assert "not a string" in site.log[-1]


def test_a_result_above_six_megabytes_is_a_bad_gateway(start):
    site = start(lambda event: {"statusCode": 200, "body": "x" * 6_291_556})
    assert requests.get(site.url + "/").status_code == 502


def test_a_handler_that_takes_too_long_is_timed_out_and_others_are_served_meanwhile(start):
    release = threading.Event()

    def handler(event: Event) -> Any:
        if event["path"] == "/slow":
            release.wait(DEADLINE)
        return ok(event)

    site = start(handler, timeout=0.2)
    answer = requests.get(site.url + "/slow")
    assert (answer.status_code, answer.json()) == (504, {"message": "Endpoint request timed out"})
    assert requests.get(site.url + "/kv/other").status_code == 200
    release.set()


def test_a_time_out_of_the_handlers_own_is_an_error_of_the_handler(start):
    def handler(event: Event) -> Any:
        raise TimeoutError("a service did not answer")

    assert requests.get(start(handler).url + "/").status_code == 502


def test_headers_above_the_limit_are_refused_and_below_it_are_not(start):
    site = start()
    assert requests.get(site.url + "/", headers={"X-Long": "x" * 9_000}).status_code == 200
    answer = requests.get(site.url + "/", headers={"X-Long": "x" * 10_300})
    assert (answer.status_code, answer.json()) == (431, {"message": "Request Header Fields Too Large"})
    assert len(site.events) == 1


def test_a_head_without_end_is_cut_off(start):
    ((status, _, _),) = start().exchange(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000 + b"\r\n\r\n")
    assert status == 400


@pytest.mark.parametrize(
    ("size", "binary", "status"),
    [
        (6 * MEGABYTE - 8_192, [], 200),
        (6 * MEGABYTE + 100, [], 413),
        (4_700_000, ["*/*"], 200),
        (4_720_000, ["*/*"], 413),
        (10 * MEGABYTE + 1, [], 413),
    ],
)
def test_a_body_is_accepted_up_to_the_size_of_a_lambda_event(start, size, binary, status):
    site = start(lambda event: {"statusCode": 200}, binary=binary)
    with requests.Session() as session:
        answer = session.post(site.url + "/echo", data=b"x" * size)
        assert answer.status_code == status
        assert status == 200 or "4.5 MB" in answer.json()["errors"][0]["message"]
        assert session.get(site.url + "/echo").status_code == 200


def test_an_event_is_measured_with_its_escapes(start):
    site = start(lambda event: {"statusCode": 200})
    assert requests.post(site.url + "/echo", data=b'"' * (3 * MEGABYTE - 8_192)).status_code == 200
    assert requests.post(site.url + "/echo", data=b'"' * (3 * MEGABYTE + 8_192)).status_code == 413


def test_a_connection_stays_usable_when_a_body_was_refused_unread(start):
    site = start(body_limit=1_000)
    late = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n"
    with site.connect() as connection:
        connection.sendall(late)
        ((status, _, _),) = read_answers(connection, 1)
        for _ in range(5):
            connection.sendall(b"x" * 1_000_000)
        connection.sendall(b"GET /kv/next HTTP/1.1\r\nHost: h\r\n\r\n")
        ((after, _, _),) = read_answers(connection, 1)
    assert (status, after) == (413, 200)
    assert [event["path"] for event in site.events] == ["/kv/next"]


def test_a_body_that_is_only_announced_is_not_asked_for_when_it_is_too_large(start):
    site = start(body_limit=1_000)
    with site.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
        first = connection.recv(100_000)
        assert first.startswith(b"HTTP/1.1 413 ") and b"connection: close" in first.lower()


def test_a_body_that_is_announced_is_asked_for_when_it_is_welcome(start):
    site = start()
    with site.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        ((status, _, body),) = read_answers(connection, 1)
    assert (status, json.loads(body)["body"]) == (200, "abc")
    assert "Expect" not in site.events[0]["headers"]


def test_what_is_read_to_nowhere_has_a_bound(start):
    site = start(body_limit=1_000, discard_limit=200_000)
    with site.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 900000000\r\n\r\n")
        ((status, headers, _),) = read_answers(connection, 1)
        assert (status, headers["connection"]) == (413, "close")
        with pytest.raises(OSError):
            for _ in range(1_000):
                connection.sendall(b"x" * 900_000)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("extra", [[], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"]])
def test_curl_gets_the_refusal_of_a_large_body_however_it_sends_it(start, tmp_path, extra):
    site = start()
    large = tmp_path / "large"
    large.write_bytes(b"x" * (11 * MEGABYTE))
    command = ["curl", "-sS", "--noproxy", "*", "--data-binary", f"@{large}", "-w", "\n%{http_code}", *extra, site.url]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr, ran.stdout[-3:]) == (0, "", "413")
    assert "4.5 MB" in ran.stdout


def test_python_requests_gets_the_refusal_of_a_large_chunked_body(start):
    site = start()
    answer = requests.post(site.url + "/echo", data=(b"x" * MEGABYTE for _ in range(12)))
    assert (answer.status_code, answer.json()["error_code"]) == (413, "MAX_REQUEST_SIZE_EXCEEDED")


def test_a_client_that_leaves_before_its_body_is_whole_never_reaches_the_handler(start):
    site = start()
    with site.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
    assert requests.get(site.url + "/kv/1").status_code == 200
    assert [event["path"] for event in site.events] == ["/kv/1"]


def test_one_line_is_logged_for_a_request_without_its_query(start):
    site = start()
    requests.get(site.url + "/kv/x?token=secret")
    (line,) = site.log
    method, path, status, took, unit = line.split()
    assert (method, path, status, unit) == ("GET", "/kv/x", "200", "ms") and float(took) >= 0


def test_answers_are_sent_without_waiting_for_acknowledgements(start):
    site = start()
    with site.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        read_answers(connection, 1)
        (protocol,) = site.server._server.server_state.connections
        accepted = protocol.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_stopped_server_lets_requests_end_and_frees_its_port(start):
    entered, release = threading.Event(), threading.Event()

    def slow(event: Event) -> Any:
        entered.set()
        release.wait(DEADLINE)
        return ok(event)

    site = start(slow)
    assert site.ports == [site.server.port]
    with site.connect() as connection:
        connection.sendall(b"GET /kv/1 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert entered.wait(DEADLINE)
        stopper = threading.Thread(target=site.server.stop)
        stopper.start()
        release.set()
        ((status, _, _),) = read_answers(connection, 1)
        stopper.join(DEADLINE)
    assert status == 200 and not stopper.is_alive()
    with pytest.raises(OSError):
        site.connect()


def test_a_taken_port_is_an_error_at_once(start):
    site = start()
    app = front(ok, ROUTES, binary_types=[], responses={})
    with pytest.raises(OSError):
        serve(app, "127.0.0.1", site.server.port, lambda port: None)
