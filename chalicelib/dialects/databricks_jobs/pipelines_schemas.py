"""The wire's shapes of Pipelines API 2.0."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from chalicelib.dialects.databricks_jobs.schemas import AutoScale, PoolName
from chalicelib.dialects.wire import Bool, Int, TextMap, Wire

Text = Annotated[str, Field(min_length=1, max_length=1000)]


class PathLibrary(Wire):
    """A notebook or file by its path."""

    path: Text


class GlobLibrary(Wire):
    """Files by a pattern."""

    include: Text


class PipelineLibrary(Wire):
    """Exactly one member is set: a source of the pipeline."""

    notebook: PathLibrary | None = None
    file: PathLibrary | None = None
    glob: GlobLibrary | None = None
    jar: Any = None
    maven: Any = None
    whl: Any = None


class PipelineCluster(Wire):
    """The nodes of an update, as a new cluster names them."""

    label: Literal["default", "updates", "maintenance"] = "default"
    num_workers: Int | None = None
    autoscale: AutoScale | None = None
    node_type_id: str | None = None
    driver_node_type_id: str | None = None
    instance_pool_id: PoolName | None = None
    spark_conf: TextMap = Field(default_factory=dict)


class PipelineSettings(Wire):
    """What create and edit take, and get returns."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    libraries: Annotated[tuple[PipelineLibrary, ...], Field(min_length=1, max_length=100)]
    configuration: TextMap = Field(default_factory=dict)
    clusters: Annotated[tuple[PipelineCluster, ...], Field(max_length=3)] = ()
    catalog: str = ""
    target: str = ""
    schema_name: Annotated[str, Field(alias="schema")] = ""
    storage: Annotated[str, Field(max_length=1000)] = ""
    continuous: Bool = False
    development: Bool = False
    edition: Any = None
    channel: Any = None
    photon: Any = None
    serverless: Any = None
    allow_duplicate_names: Bool = False
    dry_run: Bool = False
    notifications: Any = None
    id: Any = None


class Update(Wire):
    """The options of an update."""

    full_refresh: Bool = False
    full_refresh_selection: tuple[str, ...] = ()
    refresh_selection: tuple[str, ...] = ()
    validate_only: Bool = False
    cause: Any = None


class ListPipelines(Wire):
    """The options of the list."""

    max_results: Annotated[Int, Field(ge=1, le=100)] = 25
    page_token: str = ""
    filter: str = ""
