"""Run as a program of its own by `test_package_zip`: the unpacked zip, as Lambda's runtime would load it.

Arguments: the task's directory, the runtime's directory (boto3), and a file of API Gateway events. Prints, as one line
of JSON: the answers, the sources that were compiled, the product's modules that came without bytecode, and what could
be imported of that which must not be there.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import sys

COMPILED: list[str] = []


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Note every source file that Python compiles; code that is generated at run time has no file."""
    if event == "compile" and isinstance(arguments[1], str) and arguments[1].endswith(".py"):
        COMPILED.append(arguments[1])


class Context:
    """What Lambda passes beside the event."""

    function_name = "api"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:api"
    aws_request_id = "request"


def main(task: str, runtime: str, events: str) -> None:
    """Load the app, answer the events, then import all of the product."""
    with open(events) as file:
        asked = json.load(file)
    library = [path for path in sys.path if "site-packages" not in path and path != sys.path[0]]
    sys.path[:] = [task, runtime, *library]
    sys.addaudithook(watch)
    app = importlib.import_module("app")
    answers = [app.app(event, Context()) for event in asked]
    compiled = [name for name in COMPILED if name.startswith(task)]
    product = importlib.import_module("chalicelib")
    skipped = ("chalicelib.driver.",)  # runs in Spark's Python, not in Lambda's
    for module in pkgutil.walk_packages(product.__path__, "chalicelib."):
        if not module.name.startswith(skipped):
            importlib.import_module(module.name)
    foreign = [name for name in ("moto", "tests", "infra", "sandbox", "pytest") if importlib.util.find_spec(name)]
    paths = [
        str(getattr(module, "__file__", ""))
        for name, module in sys.modules.items()
        if name.split(".")[0] in {"pydantic", "chalice", "jwt", "aws_lambda_powertools"}
    ]
    strangers = [path for path in paths if not path.startswith(task)]
    print(json.dumps({"answers": answers, "compiled": compiled, "foreign": foreign, "strangers": strangers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
