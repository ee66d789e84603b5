"""Who signed a request, and until when that holds.

A presigned URL is checked in full, in both forms that boto3 makes: Signature Version 4 in the query ("Authenticating
Requests: Using Query Parameters" in S3's reference) and the older one with `Expires`. Of a request with an
`Authorization` header only the access key is checked: whoever can send one from this machine has the key already.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from botocore.auth import HmacV1QueryAuth
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials as BotoCredentials

_LONGEST = 7 * 24 * 3600
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str


class Refused(Exception):
    """The request is refused: an error code of S3, its message, its status."""

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def check(method: str, url: str, headers: Mapping[str, str], known: Credentials, now: datetime) -> None:
    """Raise `Refused` unless the request is signed with `known`. `url` is as it came over the wire, `headers` too."""
    query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    if "X-Amz-Signature" in query:
        _check_v4(method, url, query, headers, known, now)
    elif "Signature" in query and "Expires" in query:
        _check_v2(method, url, query, headers, known, now)
    else:
        _check_header(headers.get("Authorization", ""), known)


def _check_header(authorization: str, known: Credentials) -> None:
    scheme, _, rest = authorization.partition(" ")
    if scheme == "AWS":
        key = rest.partition(":")[0]
    elif scheme == _ALGORITHM:
        fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        key = fields.get("Credential", "").partition("/")[0]
    else:
        raise Refused("AccessDenied", "Access Denied")
    _check_key(key, known)


def _check_key(key: str, known: Credentials) -> None:
    if key != known.access_key:
        raise Refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")


def _check_v4(
    method: str, url: str, query: dict[str, str], headers: Mapping[str, str], known: Credentials, now: datetime
) -> None:
    try:
        key, day, region, service, _ = query["X-Amz-Credential"].split("/")
        signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        seconds = int(query["X-Amz-Expires"])
        signed = query["X-Amz-SignedHeaders"].split(";")
    except (KeyError, ValueError) as error:
        raise _malformed("Query-string authentication needs all of its parameters") from error
    if not 0 < seconds <= _LONGEST:
        raise _malformed("X-Amz-Expires must be between 1 and 604800 seconds")
    _check_key(key, known)
    if now > signed_at + timedelta(seconds=seconds):
        raise Refused("AccessDenied", "Request has expired")
    scope = f"{day}/{region}/{service}/aws4_request"
    canonical = _canonical(method, url, signed, headers)
    text = "\n".join((_ALGORITHM, query["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()))
    secret = f"AWS4{known.secret_key}".encode()
    for part in (*scope.split("/"), text):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    _compare(secret.hex(), query["X-Amz-Signature"])


def _canonical(method: str, url: str, signed: list[str], headers: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    path = quote(unquote(parts.path), safe="/-_.~")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    given = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in pairs if k != "X-Amz-Signature")
    lines = "".join(f"{name}:{' '.join(str(headers.get(name, '')).split())}\n" for name in signed)
    query = "&".join(f"{k}={v}" for k, v in given)
    return "\n".join((method, path, query, lines, ";".join(signed), "UNSIGNED-PAYLOAD"))


class _V2(HmacV1QueryAuth):
    """botocore's signer, told when the URL expires instead of working it out from the clock."""

    def __init__(self, known: Credentials, expires: str) -> None:
        super().__init__(BotoCredentials(known.access_key, known.secret_key), expires=0)
        self._at = expires

    def _get_date(self) -> str:
        return self._at


def _check_v2(
    method: str, url: str, query: dict[str, str], headers: Mapping[str, str], known: Credentials, now: datetime
) -> None:
    expires = query["Expires"]
    if not expires.isdigit():
        raise _malformed("Expires must be a number of seconds")
    _check_key(query.get("AWSAccessKeyId", ""), known)
    if now.timestamp() > int(expires):
        raise Refused("AccessDenied", "Request has expired")
    given: Any = HTTPHeaders()
    for name, value in headers.items():
        if name.lower() in ("content-md5", "content-type") or name.lower().startswith("x-amz-"):
            given[name] = value
    _compare(_V2(known, expires).get_signature(method, urlsplit(url), given), query["Signature"])


def _compare(ours: str, theirs: str) -> None:
    if not hmac.compare_digest(ours.encode(), theirs.encode()):
        text = "The request signature we calculated does not match the signature you provided."
        raise Refused("SignatureDoesNotMatch", f"{text} Check your key and signing method.")


def _malformed(message: str) -> Refused:
    return Refused("AuthorizationQueryParametersError", message, 400)
