"""Step Functions: moto's executing interpreter, mended for a process that lives long.

moto carries a real interpreter of the Amazon States Language. `install` switches it on and mends, one file each:

- `definitions`: a definition is parsed once, not at every StartExecution, and safely from several threads;
- `executions`: names, idempotency, StopExecution that ends an execution at once, memory that does not grow;
- `tokens`: `.waitForTaskToken` that can be stopped and timed out, and answers to late and repeated tokens as on AWS;
- `tasks`: time-outs of tasks, a fresh token for every attempt;
- `waits`: Wait and Retry that end when the execution is stopped, timestamps in UTC that never fire early;
- `responses`: parts of answers that moto's API leaves out.

Covered is what the product uses: JSONPath, tasks that call a function (`lambda:invoke`, plain or
`.waitForTaskToken`), Choice, Wait, Pass, Succeed, Fail, Retry and Catch. Executions live in memory only: after a
restart there are none, and the product starts what should run again. A name is free again once its execution was
forgotten (on AWS after 90 days). JSONata is not supported.
"""

from __future__ import annotations

from moto.core.config import default_user_config

from sandbox.aws.patches import Patches
from sandbox.aws.stepfunctions import definitions, executions, responses, tasks, tokens, waits
from sandbox.aws.tracking import forget_instances

__all__ = ["install"]


def install() -> Patches:
    """Mend moto's Step Functions in this process. The answer can undo it.

    Call it inside `mock_aws`, or before; functions are reached when `Functions.install` was called too.
    """
    patches = Patches()
    forget_instances(patches)
    patches.set_item(default_user_config, "stepfunctions", {"execute_state_machine": True})  # type: ignore[arg-type]
    for part in (definitions, tokens, waits, tasks, executions, responses):
        part.install(patches)
    return patches
