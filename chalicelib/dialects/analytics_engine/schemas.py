"""The wire's shapes (seed 002; `wire/analytics_engine_v4.md`, 3.2)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from chalicelib.dialects.wire import Bool, Text, TextMap, Wire


class Runtime(Wire):
    """Which Spark."""

    spark_version: Text


class ApplicationDetails(Wire):
    """What to run. Lists of files are comma-separated texts, as spark-submit takes them."""

    application: Annotated[str, Field(min_length=1)]
    arguments: Annotated[
        tuple[Text, ...], Field(validation_alias=AliasChoices("arguments", "application_arguments"))
    ] = ()
    main_class: Annotated[str, Field(validation_alias="class")] = ""
    conf: TextMap = Field(default_factory=dict)
    env: TextMap = Field(default_factory=dict)
    name: str = ""
    jars: str = ""
    packages: str = ""
    repositories: str = ""
    files: str = ""
    archives: str = ""
    py_files: Annotated[str, Field(validation_alias=AliasChoices("py-files", "pyFiles", "py_files"))] = ""
    driver_class_path: Annotated[
        str, Field(validation_alias=AliasChoices("driver-class-path", "driver_class_path"))
    ] = ""
    runtime: Runtime | None = None


class VolumeRequest(Wire):
    """A volume to mount. It may be written unless it says otherwise: IBM's own clients mount volumes without
    `read_only` and leave their output there."""

    name: str
    mount_path: str
    source_sub_path: str = ""
    read_only: Bool = False


class ApplicationRequest(Wire):
    """POST spark_applications."""

    application_details: ApplicationDetails
    volumes: tuple[VolumeRequest, ...] = ()
    template_id: str = ""


def _quantity(value: Any) -> Any:
    """Amounts are texts; a JSON number is taken as its own text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Limits(Wire):
    """PUT resource_consumption_limits."""

    max_cores: Annotated[str, BeforeValidator(_quantity)]
    max_memory: Annotated[str, BeforeValidator(_quantity)]


class HistoryServer(Wire):
    """POST spark_history_server; a size that is not given is the instance's."""

    cores: Annotated[str, BeforeValidator(_quantity)] | None = None
    memory: Annotated[str, BeforeValidator(_quantity)] | None = None


class GrantType(Wire):
    """What POST identitytoken says that its form is."""

    grant_type: str


class IdentityToken(Wire):
    """POST identitytoken, as a form."""

    username: str
    password: str
    scope: str = "openid"


class Authorize(Wire):
    """POST authorize: a username with a password or an API key; clients send the other fields as null."""

    username: str
    password: str | None = None
    api_key: str | None = None
