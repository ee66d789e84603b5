"""The Relay port over plain HTTP, inside the owner's network.

Where a history server is reached is the owner's to say: `SPARKPLANE_HISTORY_URL`, a text in which `{workspace}`,
`{pool}` (the pool's number, as the label of its pod has it) and `{run}` are filled in, for example
`http://history-{workspace}-{pool}.internal:18080`. See `infra/history_service.yaml`.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from chalicelib.core.ids import external_name, named_id
from chalicelib.core.model import Run
from chalicelib.ports import RELAYED_MOST, Oversized, Relayed, Unreachable

TIMEOUT_S = 25
"""Less than the gateway waits for an answer."""

NOT_THERE = frozenset({502, 503, 504})
"""What a load balancer answers for a server that is not up."""

NOT_ROUTED = (
    "This deployment has no way to history servers: its owner has not set where they are reached "
    "(the stack's parameter HistoryUrl)."
)


class HttpRelay:
    """Asks the server at the address that the template gives for a run. An empty template reaches nobody."""

    def __init__(self, template: str) -> None:
        self._template = template

    def get(self, run: Run, path: str, headers: Mapping[str, str]) -> Relayed:
        """See Relay.get."""
        if not self._template:
            raise Unreachable(NOT_ROUTED, later=False)
        address = urlsplit(self._address(run))
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=TIMEOUT_S)
        try:
            connection.request("GET", f"{address.path.rstrip('/')}{path}", headers=dict(headers))
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            if answer.status in NOT_THERE:
                raise Unreachable(f"The history server does not answer yet (status {answer.status}).", later=True)
            body = answer.read(RELAYED_MOST + 1)
            if len(body) > RELAYED_MOST:
                raise Oversized
            return Relayed(answer.status, told, body)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"The history server does not answer yet ({type(error).__name__}).", later=True) from None
        finally:
            connection.close()

    def _address(self, run: Run) -> str:
        return self._template.format(
            workspace=run.workspace, pool=named_id("pool", run.spec.pool), run=external_name(run.workspace, run.id)
        )
