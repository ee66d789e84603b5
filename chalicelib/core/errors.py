"""The family of errors that a caller can cause or must hear about.

Services raise these; each dialect has one table from an error's class to its own status, code and body, so a new
error class is rendered by its parent's row until a dialect says otherwise. The message is for a person: it names the
field and the fault, never another tenant's name and never a stack.
"""

from __future__ import annotations


class SparkplaneError(Exception):
    """Base of all errors that a dialect renders. `field` names the offending input where there is one."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Invalid(SparkplaneError):
    """The request can never be right as it stands."""


class Malformed(Invalid):
    """The body could not be parsed, or a value has the wrong type."""


class TooLarge(Invalid):
    """The body, or one value in it, is over its limit."""


class BodyTooLarge(TooLarge):
    """The body as a whole is over the limit of all requests."""


class UnsupportedMedia(Invalid):
    """The body is in a form that is not read."""


class BlockTooLarge(TooLarge):
    """A block of a file is over its limit."""


class ReadTooLarge(TooLarge):
    """More of a file was asked for than one answer may have."""


class Unschedulable(Invalid):
    """The run asks for more than its pool could ever hold."""


class Unauthenticated(SparkplaneError):
    """No credential, or one that is unknown, expired or revoked."""


class Forbidden(SparkplaneError):
    """The principal is known, but its role does not allow this."""


class NotFound(SparkplaneError):
    """Nothing of that kind has this id in the caller's workspace. `kind` and `id` let a dialect word it."""

    def __init__(self, kind: str, id: object, *, field: str = "") -> None:
        super().__init__(f"{kind} {id} does not exist.", field=field)
        self.kind = kind
        self.id = id


class Gone(NotFound):
    """It was there and has been deleted."""

    def __init__(self, kind: str, id: object, *, field: str = "") -> None:
        super().__init__(kind, id, field=field)
        self.message = f"{kind} {id} was deleted."


class InvalidState(SparkplaneError):
    """The thing exists, but its state does not allow this."""


class NotEmpty(InvalidState):
    """A directory that has something in it."""


class AlreadyExists(SparkplaneError):
    """A thing with that name exists."""


class TooMany(SparkplaneError):
    """A limit on counts or rates was reached; trying again later may help."""


class Exhausted(TooMany):
    """A workspace has made as many runs and jobs as it may in this hour."""


class QuotaExceeded(TooMany):
    """A workspace keeps as many jobs as it may: `limit`."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The workspace has {limit} saved jobs, which is the most it can have.")
        self.limit = limit


class Conflict(SparkplaneError):
    """Somebody else changed what was read, and patience ran out. Trying again helps."""


class Unfinished(SparkplaneError):
    """Part of it is done, and the rest is too much for one request. The same request again goes on."""


class PartlyDeleted(Unfinished):
    """Some of what is to be deleted is gone, and more is there."""
