"""From StartJobRun's request to one plain description of what to submit.

`sparkSubmitParameters` is read by spark-submit's own grammar, joined with the `spark-defaults` of
`configurationOverrides` in Spark's order of precedence (an option wins over `--conf`, which wins over the defaults),
and flattened into configuration keys, so that the rest of the engine looks in one place only.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# spark-submit's options that take a value, and the configuration key that means the same.
OPTIONS: dict[str, str] = {
    "--archives": "spark.archives",
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-cores": "spark.driver.cores",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--driver-memory": "spark.driver.memory",
    "--exclude-packages": "spark.jars.excludes",
    "--executor-cores": "spark.executor.cores",
    "--executor-memory": "spark.executor.memory",
    "--files": "spark.files",
    "--jars": "spark.jars",
    "--keytab": "spark.kerberos.keytab",
    "--name": "spark.app.name",
    "--num-executors": "spark.executor.instances",
    "--packages": "spark.jars.packages",
    "--principal": "spark.kerberos.principal",
    "--py-files": "spark.submit.pyFiles",
    "--queue": "spark.yarn.queue",
    "--repositories": "spark.jars.repositories",
    "--total-executor-cores": "spark.cores.max",
}
# Options whose value the engine chooses itself: what the caller says of them cannot hold on one machine.
CHOSEN = frozenset({"--master", "--deploy-mode"})
FLAGS = frozenset({"--verbose", "-v", "--supervise", "--load-spark-defaults"})
REFUSED = frozenset({"--properties-file", "--proxy-user", "--remote", "--kill", "--status", "--help", "--version"})

# Configurations that concern pods and services which do not exist on one machine.
_OF_THE_CLUSTER = frozenset({"emr-containers-defaults", "emr-job-submitter", "spark-metrics"})
_DRIVER_ENV = "spark.kubernetes.driverEnv."


class BadSubmission(Exception):
    """The request was well-formed for AWS but nothing can be submitted from it; the text is a sentence."""


@dataclass(frozen=True)
class Submission:
    """What to submit: `conf` holds every spark-submit option but the class, `env` the asked-for environment."""

    entry_point: str
    arguments: tuple[str, ...]
    main_class: str | None
    verbose: bool
    conf: Mapping[str, str]
    env: Mapping[str, str]
    log_uri: str | None


def parse(request: dict[str, Any]) -> Submission:
    """Reads a request that `validation.check_start` let pass; raises BadSubmission."""
    driver = request["jobDriver"]["sparkSubmitJobDriver"]
    overrides = request.get("configurationOverrides") or {}
    conf, env = _configurations(overrides.get("applicationConfiguration") or [])
    explicit: dict[str, str] = {}
    options: dict[str, str] = {}
    main_class, verbose = None, False
    for option, value in _options(driver.get("sparkSubmitParameters") or ""):
        if option == "--conf":
            key, separator, text = value.partition("=")
            if not separator:
                raise BadSubmission(f"sparkSubmitParameters: --conf {value} is not of the form key=value.")
            explicit[key] = text
        elif option == "--class":
            main_class = value
        elif option in OPTIONS:
            options[OPTIONS[option]] = value
        elif option in ("--verbose", "-v"):
            verbose = True
    conf = {**conf, **explicit, **options}
    env.update({key[len(_DRIVER_ENV) :]: text for key, text in conf.items() if key.startswith(_DRIVER_ENV)})
    monitoring = (overrides.get("monitoringConfiguration") or {}).get("s3MonitoringConfiguration") or {}
    return Submission(
        entry_point=driver["entryPoint"],
        arguments=tuple(driver.get("entryPointArguments") or ()),
        main_class=main_class,
        verbose=verbose,
        conf=conf,
        env=env,
        log_uri=monitoring.get("logUri"),
    )


def _options(parameters: str) -> Iterator[tuple[str, str]]:
    """The options in `parameters`, each with its value; a flag's value is empty."""
    try:
        words = iter(shlex.split(parameters))
    except ValueError as error:
        raise BadSubmission(f"sparkSubmitParameters cannot be read: {error}.") from error
    for word in words:
        option, separator, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = "--conf" if option == "-c" else option
        if option in FLAGS:
            yield option, ""
        elif option in OPTIONS or option in CHOSEN or option in ("--conf", "--class"):
            given = value if separator else next(words, None)
            if given is None:
                raise BadSubmission(f"sparkSubmitParameters: {option} needs a value.")
            yield option, given
        elif option in REFUSED:
            raise BadSubmission(f"sparkSubmitParameters: {option} cannot be used in a job run.")
        else:
            raise BadSubmission(f"sparkSubmitParameters: {word} is not an option of spark-submit.")


def _configurations(entries: list[dict[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Spark's configuration and the driver's environment out of `applicationConfiguration`."""
    conf: dict[str, str] = {}
    env: dict[str, str] = {}
    for entry in entries:
        name, properties = entry["classification"], entry.get("properties") or {}
        if name == "spark-defaults":
            conf.update(properties)
        elif name == "core-site":
            conf.update({f"spark.hadoop.{key}": value for key, value in properties.items()})
        elif name == "spark-env":
            env.update(_exports(entry))
        elif name not in _OF_THE_CLUSTER:
            raise BadSubmission(f"The sandbox's EMR on EKS does not apply the configuration classification {name}.")
    return conf, env


def _exports(entry: dict[str, Any]) -> dict[str, str]:
    """`spark-env` sets variables in a nested classification named `export`."""
    exports: dict[str, str] = {}
    for nested in entry.get("configurations") or []:
        if nested["classification"] != "export":
            raise BadSubmission(f"spark-env knows the nested classification export, not {nested['classification']}.")
        exports.update(nested.get("properties") or {})
    return exports
