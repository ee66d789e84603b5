"""The parts of the front that need no connection: routes, binary types, answers and the gateway's own refusals."""

import asyncio
import base64
import json
import threading

import pytest

from sandbox.front import front, gateway_responses, remapped_headers
from sandbox.front.answers import Answer, Malformed, Remapping, Undecodable, answer_of
from sandbox.front.media import BinaryTypes
from sandbox.front.pool import Pool
from sandbox.front.refusals import Refusals
from sandbox.front.routes import Routes

LIMIT = 6_291_556


def served(routes: Routes, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    match = routes.find(method, path)
    return None if match is None else (match.resource, match.parameters)


@pytest.mark.parametrize(
    ("path", "resource", "parameters"),
    [
        ("/", "/", {}),
        ("/runs", "/runs", {}),
        ("/runs/list", "/runs/list", {}),
        ("/runs/7", "/runs/{id}", {"id": "7"}),
        ("/runs/7/log", "/runs/{id}/log", {"id": "7"}),
        ("/runs/list/log", "/runs/{id}/log", {"id": "list"}),
        ("/runs/7/other", "/{proxy+}", {"proxy": "runs/7/other"}),
        ("/files/a/b", "/files/{path+}", {"path": "a/b"}),
        ("/files", "/{proxy+}", {"proxy": "files"}),
        ("/nothing", "/{proxy+}", {"proxy": "nothing"}),
    ],
)
def test_a_literal_part_wins_over_a_variable_and_a_variable_over_a_greedy_one(path, resource, parameters):
    routes = Routes(["/{proxy+}", "/runs/{id}", "/", "/runs/list", "/runs", "/runs/{id}/log", "/files/{path+}"])
    assert served(routes, "GET", path) == (resource, parameters)


def test_a_resource_without_the_method_leaves_the_request_to_the_next_best_one():
    routes = Routes({"/runs/{id}": ["GET"], "/runs/list": ["POST"], "/{proxy+}": ["ANY"]})
    assert served(routes, "POST", "/runs/list") == ("/runs/list", {})
    assert served(routes, "GET", "/runs/list") == ("/runs/{id}", {"id": "list"})
    assert served(routes, "DELETE", "/runs/list") == ("/{proxy+}", {"proxy": "runs/list"})


def test_an_unknown_method_is_no_match_when_there_is_no_catch_all():
    assert served(Routes({"/runs": ["GET"]}), "POST", "/runs") is None


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/kv/a%2Fb", {"name": "a/b"}),
        ("/kv/name=value", {"name": "name=value"}),
        ("/kv/x:suspend/", {"name": "x:suspend"}),
        ("/kv/a+b%20c", {"name": "a+b c"}),
        ("/kv/%C3%BC", {"name": "ü"}),
    ],
)
def test_a_path_parameter_is_one_encoded_part_and_arrives_decoded(path, parameters):
    assert served(Routes(["/kv/{name}"]), "GET", path) == ("/kv/{name}", parameters)


def test_slashes_at_the_end_neither_matter_nor_belong_to_a_greedy_parameter():
    routes = Routes(["/a", "/{proxy+}"])
    assert served(routes, "GET", "/a/") == ("/a", {})
    assert served(routes, "GET", "/x/y/") == ("/{proxy+}", {"proxy": "x/y"})


def test_an_empty_part_fits_only_a_greedy_parameter():
    assert served(Routes(["/a/{b}/c"]), "GET", "/a//c") is None
    assert served(Routes(["/{proxy+}"]), "GET", "/a//c") == ("/{proxy+}", {"proxy": "a//c"})


def test_the_root_is_not_served_by_a_greedy_resource():
    assert served(Routes(["/{proxy+}"]), "GET", "/") is None


@pytest.mark.parametrize(
    "templates",
    [["/a/{b}", "/a/{c}/d"], ["/a/{b}", "/a/{proxy+}"], ["/a/{proxy+}/b"], ["/a/{b}:stop"], ["a"], ["/a/{b"]],
)
def test_routes_that_api_gateway_refuses_are_refused(templates):
    with pytest.raises(ValueError, match="route"):
        Routes(templates)


@pytest.mark.parametrize(
    ("types", "header", "binary"),
    [
        (["application/zip"], "application/zip", True),
        (["application/zip"], "Application/ZIP; q=0.5, text/html", True),
        (["application/zip"], "text/html, application/zip", False),
        (["application/zip"], "*/*", False),
        (["application/zip"], None, False),
        (["image/*"], "image/png", True),
        (["image/*"], "text/plain", False),
        (["*/*"], "text/plain", True),
        (["*/*"], None, True),
        (["multipart/form-data"], "multipart/form-data; boundary=x", True),
    ],
)
def test_only_the_first_media_type_of_a_header_decides_what_is_binary(types, header, binary):
    assert BinaryTypes(types).in_header(header) is binary


def answer(result, *, binary=True, limit=LIMIT) -> Answer:
    return answer_of(result, Remapping(remapped_headers()), binary, limit)


def test_a_challenge_reaches_the_client_under_its_remapped_name_only():
    given = {"statusCode": 401, "headers": {"WWW-Authenticate": "Basic", "X-Own": "1", "date": "then"}}
    headers = dict(answer(given).headers)
    assert headers["x-amzn-Remapped-WWW-Authenticate"] == "Basic"
    assert headers["x-amzn-Remapped-date"] == "then"
    assert headers["X-Own"] == "1"
    assert "WWW-Authenticate" not in headers


def test_transfer_encoding_is_dropped_because_the_gateway_frames_the_answer():
    names = [name.lower() for name, _ in answer({"headers": {"Transfer-Encoding": "chunked"}}).headers]
    assert names == ["content-type"]


def test_headers_and_multi_value_headers_are_merged_and_a_value_in_both_counts_once():
    result = {"headers": {"Set-Cookie": "b=2", "X": "1"}, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}
    pairs = [pair for pair in answer(result).headers if pair[0] != "Content-Type"]
    assert pairs == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X", "1")]


def test_an_answer_without_content_type_is_json_and_one_without_status_is_200():
    plain = answer({"body": "{}"})
    assert (plain.status, plain.headers, plain.body) == (200, (("Content-Type", "application/json"),), b"{}")


def test_a_base64_body_is_decoded_only_for_a_client_that_asks_for_a_binary_type():
    result = {"body": base64.b64encode(b"\x1f\x8b\x00").decode(), "isBase64Encoded": True}
    assert answer(result, binary=True).body == b"\x1f\x8b\x00"
    assert answer(result, binary=False).body == b"H4sA"


def test_a_body_that_is_falsely_declared_base64_is_told_apart():
    with pytest.raises(Undecodable):
        answer({"body": "no base64!", "isBase64Encoded": True})


@pytest.mark.parametrize(
    "result",
    [
        None,
        "text",
        {"errorMessage": "it broke"},
        {"body": {"a": 1}},
        {"body": b"bytes"},
        {"statusCode": "many"},
        {"statusCode": 99},
        {"statusCode": 600},
        {"headers": {"X": 1}},
        {"headers": ["X"]},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X Y": "a"}},
        {"multiValueHeaders": {"X": [None]}},
    ],
)
def test_a_result_that_api_gateway_would_not_take_is_malformed(result):
    with pytest.raises(Malformed):
        answer(result)


def test_a_result_is_measured_as_the_json_that_lambda_passes_on():
    frame = len(json.dumps({"body": ""}))
    assert answer({"body": "x" * (LIMIT - frame)}).status == 200
    with pytest.raises(Malformed, match="bytes"):
        answer({"body": "x" * (LIMIT - frame + 1)})
    with pytest.raises(Malformed, match="bytes"):
        answer({"body": "ü" * (LIMIT // 6)})  # six bytes each, escaped


def refusal(table, kind, **context) -> Answer:
    return Refusals(table).answer(kind, {"requestId": "r-1", **context})


def test_an_unlisted_refusal_takes_the_template_and_headers_of_its_default():
    table = {
        "DEFAULT_5XX": {
            "responseTemplates": {
                "application/json": '{"error":$context.error.messageString,"id":"$context.requestId"}'
            },
            "responseParameters": {
                "gatewayresponse.header.X-A": "'b'",
                "gatewayresponse.header.X-Id": "context.requestId",
            },
        }
    }
    answered = refusal(table, "INTEGRATION_TIMEOUT")
    assert answered.status == 504
    assert json.loads(answered.body) == {"error": "Endpoint request timed out", "id": "r-1"}
    assert {("X-A", "b"), ("X-Id", "r-1")} <= set(answered.headers)


def test_a_status_of_a_default_type_holds_for_every_type_that_gives_none():
    table = {"DEFAULT_4XX": {"statusCode": "418"}, "REQUEST_TOO_LARGE": {"statusCode": "413"}}
    assert refusal(table, "MISSING_AUTHENTICATION_TOKEN").status == 418
    assert refusal(table, "REQUEST_TOO_LARGE").status == 413


def test_a_table_with_what_the_front_cannot_imitate_is_refused():
    with pytest.raises(ValueError, match="not imitated"):
        Refusals({"DEFAULT_4XX": {"responseParameters": {"gatewayresponse.header.X": "method.request.header.Origin"}}})


def test_the_deployed_refusal_of_a_large_request_speaks_to_every_client():
    body = json.loads(refusal(gateway_responses(), "REQUEST_TOO_LARGE").body)
    assert body["error_code"] == body["errors"][0]["code"]
    assert body["message"] == body["error"] == body["errors"][0]["message"]
    assert "4.5 MB" in body["message"] and "s3://" in body["message"]


def test_the_deployed_table_uses_only_fields_types_and_statuses_that_cloudformation_knows():
    known = {"DEFAULT_4XX", "DEFAULT_5XX", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT", "MISSING_AUTHENTICATION_TOKEN"}
    for kind, entry in gateway_responses().items():
        assert kind in known | {"REQUEST_TOO_LARGE"}
        assert entry.keys() <= {"statusCode", "responseTemplates", "responseParameters"}
        assert isinstance(entry.get("statusCode", ""), str)
        assert "statusCode" not in entry or not kind.startswith("DEFAULT_")


def test_the_deployed_table_gives_every_refusal_that_the_front_makes_a_json_body():
    refusals = Refusals(gateway_responses())
    stock = {
        "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
        "DEFAULT_5XX": (502, "Internal server error"),
        "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
        "API_CONFIGURATION_ERROR": (500, "Internal server error"),
    }
    for kind, (status, message) in stock.items():
        answered = refusals.answer(kind, {})  # type: ignore[arg-type]
        assert (answered.status, json.loads(answered.body)) == (status, {"message": message})


def test_bad_routes_stop_the_front_before_it_serves():
    with pytest.raises(ValueError, match="sibling"):
        front(lambda event: event, ["/{a}", "/{b}"], binary_types=[], responses={})


def test_a_pool_runs_no_more_calls_at_once_than_it_has_threads_and_drops_a_cancelled_one():
    gate, running, most = threading.Semaphore(0), [], []

    def call(number: int) -> int:
        running.append(number)
        most.append(len(running))
        gate.acquire()
        running.remove(number)
        return number

    async def scenario() -> list[int]:
        pool = Pool(2)
        futures = [pool.submit(lambda number=number: call(number)) for number in range(6)]
        futures[5].cancel()
        for _ in range(5):
            gate.release()
        results = await asyncio.wait_for(asyncio.gather(*futures[:5]), 10)
        pool.close()
        return results

    assert asyncio.run(scenario()) == [0, 1, 2, 3, 4]
    assert max(most) <= 2 and len(most) == 5
