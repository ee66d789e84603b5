"""AWS over HTTP: moto's server, with the file system for Spark beside it on the same port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from sandbox.aws.webhdfs import Endpoint


class AwsServer(ThreadedMotoServer):
    """moto's server, which answers WebHDFS too, from the S3 of a client."""

    def __init__(self, port: int, s3: Callable[[], Any]) -> None:
        super().__init__(ip_address="127.0.0.1", port=port, verbose=False)
        self._app = Endpoint(s3, DomainDispatcherApplication(create_backend_app))

    def _server_entry(self) -> None:
        self._server = make_server(
            self._ip_address, self._port, self._app, threaded=True, request_handler=MotoRequestHandler
        )
        self._server_ready_event.set()
        self._server.serve_forever()

    @property
    def port(self) -> int:
        """The port that it listens on, once it has started."""
        return self.get_host_and_port()[1]
