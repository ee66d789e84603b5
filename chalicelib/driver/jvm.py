"""The way to the JVM that spark-submit has started, whether or not there is a SparkContext. py4j comes with Spark."""

from __future__ import annotations

import os

from .console import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def open_gateway() -> Any:
    """A py4j gateway to the driver's JVM, to be closed by the caller; None where there is no JVM. PySpark is not
    imported for this."""
    port, secret = os.environ.get("PYSPARK_GATEWAY_PORT"), os.environ.get("PYSPARK_GATEWAY_SECRET")
    if not port or not secret:
        return None
    from importlib import import_module

    py4j = import_module("py4j.java_gateway")
    return py4j.JavaGateway(gateway_parameters=py4j.GatewayParameters(port=int(port), auth_token=secret))


def hold(seconds: int) -> None:
    """Have the JVM, when it is about to end, send this process a SIGTERM and wait for its end, so many seconds at most:
    a driver's container ends with its JVM, and only the JVM hears that it is to end. It takes Java 9 or newer."""
    gateway = open_gateway()
    if gateway is None:
        return
    java = gateway.jvm.java
    try:
        process, unit = java.lang.ProcessHandle.of(os.getpid()).get(), java.util.concurrent.TimeUnit.SECONDS
        destroy = method(gateway, "java.lang.ProcessHandle", "destroy", [])
        types = [java.lang.Long.TYPE, unit.getClass()]
        get = method(gateway, "java.util.concurrent.Future", "get", types)
        for called, arguments in ((destroy, [process]), (get, [process.onExit(), seconds, unit])):
            hook = java.lang.Thread(bound(gateway, "java.lang.Runnable", called, arguments))
            java.lang.Runtime.getRuntime().addShutdownHook(hook)
    except Exception as error:  # noqa: BLE001 - py4j raises many kinds; without this a run goes on as well
        say(f"the JVM does not wait for volumes to be stored when it is stopped: {type(error).__name__}")
    finally:
        gateway.close()


def method(gateway: Any, of: str, name: str, types: Sequence[Any]) -> Any:
    """A public method of a class, by its name and the classes of its arguments."""
    lang = gateway.jvm.java.lang
    loader = lang.Thread.currentThread().getContextClassLoader()
    return lang.Class.forName(of, True, loader).getMethod(name, array(gateway, lang.Class, types))


def bound(gateway: Any, interface: str, called: Any, arguments: Sequence[Any]) -> Any:
    """A method with all its arguments (of one that is not static, first the object) as an object of an interface that
    has one method."""
    lang = gateway.jvm.java.lang
    handles = lang.invoke.MethodHandles
    given = array(gateway, lang.Object, arguments)
    handle = handles.insertArguments(handles.publicLookup().unreflect(called), 0, given)
    return lang.invoke.MethodHandleProxies.asInterfaceInstance(lang.Class.forName(interface), handle)


def array(gateway: Any, of: Any, items: Sequence[Any]) -> Any:
    """A Java array of a class, with these items."""
    made = gateway.new_array(of, len(items))
    for position, item in enumerate(items):
        made[position] = item
    return made
