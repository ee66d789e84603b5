"""The process in which a pipeline's own code runs, started by `pipeline`: Spark's runner, and `import dlt`."""

from __future__ import annotations

import json
import sys

from .execute import describe, describe_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main(path: str) -> NoReturn:
    """Run the update that a JSON file describes (`pipeline._update`); leaves with exit code 0 or 1, and in the latter
    case with the error in the file that is named there."""
    from pathlib import Path

    from .dlt import install

    with open(path, encoding="utf-8") as file:
        about = json.load(file)
    try:
        from pyspark.pipelines import cli
    except ImportError as error:
        message = f"This image has not all that pipelines need: {error}"
        _tell(about["error"], describe_text("PipelineError", message))
        raise SystemExit(f"sparkplane: {message}") from None
    install()
    try:
        cli.run(
            spec_path=Path(about["spec"]),
            full_refresh=about["full_refresh"],
            full_refresh_all=about["full_refresh_all"],
            refresh=about["refresh"],
            dry=False,
        )
    except BaseException as error:  # noqa: BLE001 - shown and told
        _tell(about["error"], describe(error, error.__traceback__))
        sys.excepthook(type(error), error, error.__traceback__)
        raise SystemExit(1) from None
    raise SystemExit(0)


def _tell(path: str, error: dict[str, str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(error, file)
