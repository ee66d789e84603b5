"""EventBridge Scheduler that fires, and remembers.

moto stores schedules and never fires one; it takes `bogus` and `rate(0 minutes)` for expressions; and a restart loses
them. Here every change is in a file before the API answers. A schedule fires promptly, never early. A one-off that
fell due while nothing ran fires at the start, and so does one that is past when it is made; recurring schedules go on
with their next time. An invocation that fails is tried again; a one-off is done with, and deleted if it says so, only
after the last try, so a crash in between makes it fire again.

Targets are functions and state machines ("templated targets"); others are refused. A flexible time window is taken as
its beginning, and `RetryPolicy` is kept but not followed: the number of tries is the constructor's.
"""

from sandbox.aws.scheduler.expressions import InvalidExpression, parse
from sandbox.aws.scheduler.service import Scheduler

__all__ = ["InvalidExpression", "Scheduler", "parse"]
