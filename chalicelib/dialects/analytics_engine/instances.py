"""The instance itself: what it is, its defaults, its quota and what it uses (seed 002, "Find Analytics Engine by id" to
"Current resource consumption"). Everybody of the workspace reads them; its administrators change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.core.errors import NotFound
from chalicelib.core.spark import release_for
from chalicelib.dialects.analytics_engine.reading import BASE, pool_of, want_pool
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services import instances, pools
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.dialects.analytics_engine import mapping, quotas, schemas
else:
    mapping, quotas, schemas = (
        later("chalicelib.dialects.analytics_engine.mapping"),
        later("chalicelib.dialects.analytics_engine.quotas"),
        later("chalicelib.dialects.analytics_engine.schemas"),
    )


def get_instance(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /{instance_id}."""
    view = pool_of(ports, call, request)
    uuid = request.parameters["instance_id"]
    return Answer(quotas.instance_body(uuid, view.pool, view.account, call.workspace))


def get_runtime(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /default_runtime: the Spark version of applications that name none."""
    view = pool_of(ports, call, request)
    return Answer({"spark_version": view.pool.spark_version or ports.settings.default_spark})


def put_runtime(ports: Ports, call: Call, request: Request) -> Answer:
    """PUT /default_runtime."""
    view = pool_of(ports, call, request)
    call.require_admin()
    version = mapping.parse(schemas.Runtime, request.json).spark_version
    release_for(version)
    instances.set_spark_version(ports, call, view.pool.name, version)
    return Answer({"spark_version": version})


def get_configs(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /default_configs: the conf beneath every application's own."""
    return Answer(dict(pool_of(ports, call, request).pool.conf))


def put_configs(ports: Ports, call: Call, request: Request) -> Answer:
    """PUT /default_configs: replaces them all."""
    view = pool_of(ports, call, request)
    call.require_admin()
    conf = mapping.default_conf(request.json, ports.settings.uri_schemes)
    return Answer(dict(instances.set_defaults(ports, call, view.pool.name, lambda before: conf).conf))


def patch_configs(ports: Ports, call: Call, request: Request) -> Answer:
    """PATCH /default_configs: a JSON merge patch (RFC 7396), whatever the content type says; null unsets."""
    view = pool_of(ports, call, request)
    call.require_admin()
    patch = mapping.conf_patch(request.json)

    def merged(before: Mapping[str, str]) -> Mapping[str, str]:
        after: dict[str, Any] = {**before, **patch}
        return mapping.default_conf(
            {name: value for name, value in after.items() if value is not None}, ports.settings.uri_schemes
        )

    return Answer(dict(instances.set_defaults(ports, call, view.pool.name, merged).conf))


def put_limits(ports: Ports, call: Call, request: Request) -> Answer:
    """PUT /resource_consumption_limits."""
    view = pool_of(ports, call, request)
    call.require_admin()
    cores, memory = quotas.limits(mapping.parse(schemas.Limits, request.json))
    after = instances.set_quota(ports, call, view.pool.name, cores=cores, memory=memory)
    return Answer(quotas.limits_body(after.account.maximum))


def get_limits(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /resource_consumption_limits: the quota in force, of either kind."""
    view = pool_of(ports, call, request)
    _require_quota(view.account.maximum, request)
    return Answer(quotas.limits_body(view.account.maximum))


def delete_limits(ports: Ports, call: Call, request: Request) -> Answer:
    """DELETE /resource_consumption_limits."""
    view = pool_of(ports, call, request)
    call.require_admin()
    _require_quota(view.account.maximum, request)
    instances.drop_quota(ports, call, view.pool.name)
    return Answer(status=204)


def get_consumption(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /current_resource_consumption: what runs hold, and what those that wait ask for."""
    view = pool_of(ports, call, request)
    _require_quota(view.account.maximum, request)
    waiting = pools.queued(ports, call.workspace, view.pool.name)
    return Answer(quotas.consumption_body(view.account.used, waiting))


def _require_quota(maximum: Any, request: Request) -> None:
    if not instances.has_quota(maximum):
        raise NotFound("Resource quota of instance", request.parameters["instance_id"], field="instance_id")


RUNTIME, CONFIGS = f"{BASE}/default_runtime", f"{BASE}/default_configs"
LIMITS, CONSUMPTION = f"{BASE}/resource_consumption_limits", f"{BASE}/current_resource_consumption"
OPERATIONS = [
    Operation("GET", BASE, get_instance, want_pool),
    Operation("GET", RUNTIME, get_runtime, want_pool),
    Operation("PUT", RUNTIME, put_runtime, want_pool),
    Operation("GET", CONFIGS, get_configs, want_pool),
    Operation("PUT", CONFIGS, put_configs, want_pool),
    Operation("PATCH", CONFIGS, patch_configs, want_pool),
    Operation("PUT", LIMITS, put_limits, want_pool),
    Operation("GET", LIMITS, get_limits, want_pool),
    Operation("DELETE", LIMITS, delete_limits, want_pool),
    Operation("GET", CONSUMPTION, get_consumption, want_pool),
]
