"""Pipelines' settings on the wire as core's pipelines, and updates as specs. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Pipeline, Program, ProgramKind, RunSpec, Size, Source
from chalicelib.core.tree import check_path
from chalicelib.core.uris import check_uri
from chalicelib.dialects.databricks_jobs.clusters import cluster_size
from chalicelib.dialects.databricks_jobs.pipelines_schemas import PipelineLibrary, PipelineSettings, Update
from chalicelib.dialects.databricks_jobs.reading import DIALECT, Locate
from chalicelib.dialects.databricks_jobs.schemas import NewCluster
from chalicelib.ports import Settings

_REFUSED = {
    "continuous": "continuous pipelines are not supported: let a job's schedule update the pipeline.",
    "dry_run": "dry runs are not supported.",
    "allow_duplicate_names": "pipelines are registered by name, so that names cannot be used twice.",
}
_SOURCES = (".py", ".sql")


def definition(
    owner: Settings, settings: PipelineSettings, raw: Mapping[str, Any], locate: Locate
) -> Callable[[Pipeline], Pipeline]:
    """What makes a pipeline of these settings. Raises Invalid."""
    for name, sentence in _REFUSED.items():
        if getattr(settings, name):
            raise Invalid(f"{name}: {sentence}", field=name)
    if settings.target and settings.schema_name:
        raise Invalid("Only one of target and schema may be specified.", field="target")
    sources = tuple(_source(owner, library, number, locate) for number, library in enumerate(settings.libraries))
    storage = locate(settings.storage)
    if storage:
        check_uri(storage, field="storage", schemes=owner.uri_schemes)
    pool, conf, size = _cluster(settings)

    def define(pipeline: Pipeline) -> Pipeline:
        return replace(
            pipeline,
            name=settings.name,
            sources=sources,
            configuration=dict(settings.configuration),
            catalog=settings.catalog,
            schema=settings.schema_name or settings.target,
            storage=storage,
            pool=pool,
            conf=conf,
            size=size,
            settings=_known(raw),
        )

    return define


def _known(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What get returns: what was given and is known, and the defaults that Databricks shows."""
    names = {field.alias or name for name, field in PipelineSettings.model_fields.items()}
    unwanted = {"id", "dry_run", "allow_duplicate_names"}
    given = {name: raw[name] for name in raw if name in names - unwanted and raw[name] is not None}
    return {"continuous": False, "development": False, **given}


def _source(owner: Settings, library: PipelineLibrary, number: int, locate: Locate) -> Source:
    """A library as a source. Notebooks and files without a scheme are the workspace's."""
    field = f"libraries.{number}"
    told = [name for name in ("notebook", "file", "glob", "jar", "maven", "whl") if getattr(library, name) is not None]
    if len(told) != 1:
        raise Invalid(f"{field}: exactly one of notebook, file and glob must be set.", field=field)
    if told[0] not in {"notebook", "file", "glob"}:
        raise Invalid(f"{field}: {told[0]} libraries of pipelines are not supported.", field=field)
    path = library.glob.include if library.glob else (library.notebook or library.file).path  # type: ignore[union-attr]
    if library.notebook or path.startswith("/"):
        return Source(check_path(path, field=field), notebook=bool(library.notebook))
    uri = locate(path)
    check_uri(uri, field=field, schemes=owner.uri_schemes)
    if not library.glob and posixpath.splitext(path)[1] not in _SOURCES:
        raise Invalid(f"{field}: {path} is no source of a pipeline: it ends with neither .py nor .sql.", field=field)
    return Source(uri)


def _cluster(settings: PipelineSettings) -> tuple[str, dict[str, str], Size]:
    """The pool, conf and size of updates: those of the cluster for updates, else of the default one."""
    named = {cluster.label: cluster for cluster in settings.clusters}
    if len(named) < len(settings.clusters):
        raise Invalid("clusters: a label can be used once.", field="clusters")
    cluster = named.get("updates") or named.get("default")
    if cluster is None:
        return "default", {}, Size()
    nodes = NewCluster(
        spark_version="",
        num_workers=1 if cluster.num_workers is None and cluster.autoscale is None else cluster.num_workers,
        autoscale=cluster.autoscale,
        node_type_id=cluster.node_type_id or "m5.large",
        driver_node_type_id=cluster.driver_node_type_id,
        spark_conf=cluster.spark_conf,
    )
    return cluster.instance_pool_id or "default", dict(cluster.spark_conf), cluster_size(nodes)


def update_options(asked: Update) -> dict[str, str]:
    """An update's options as a program's parameters. Raises Invalid."""
    if asked.validate_only:
        raise Invalid("validate_only: updates that only validate are not supported.", field="validate_only")
    if asked.full_refresh and (asked.refresh_selection or asked.full_refresh_selection):
        raise Invalid("full_refresh cannot be given together with a selection of tables.", field="full_refresh")
    lists = {"full_refresh_selection": asked.full_refresh_selection, "refresh_selection": asked.refresh_selection}
    for name, tables in lists.items():
        if any(not table or "," in table for table in tables):
            raise Invalid(f"{name}: a table's name cannot be empty or have a comma.", field=name)
    options = {"full_refresh": "true"} if asked.full_refresh else {}
    return {**options, **{name: ",".join(tables) for name, tables in lists.items() if tables}}


def update_spec(id: str, pipeline: Pipeline, options: Mapping[str, str]) -> RunSpec:
    """The spec of an update's run."""
    task = {"pipeline_id": id, **({"full_refresh": True} if options.get("full_refresh") else {})}
    return RunSpec(
        name=pipeline.name,
        program=Program(ProgramKind.PIPELINE, id, parameters=dict(options)),
        pool=pipeline.pool,
        conf=dict(pipeline.conf),
        size=pipeline.size,
        dialect=DIALECT,
        original={"task": {"pipeline_task": task}},
    )


def refuse_filter(text: str) -> None:
    """Refuse a list's filter, which would otherwise be taken for obeyed."""
    if text:
        raise Invalid("filter: filters of pipelines are not supported.", field="filter")
