"""Everything that the running operator raises on purpose.

::

    BerthmasterError
    ├── Retryable              the same attempt may succeed later; ``after_seconds`` where the server said when
    │   ├── Throttled          429
    │   ├── Unavailable        5xx, time-outs, connections refused or cut
    │   ├── Unauthenticated    401, also with a token that was just read again
    │   ├── Conflict           409: the object changed, or is another one, since it was read
    │   ├── Expired            410: a list was read too slowly to be continued
    │   └── Vanished           404 of something that has to be there: its namespace or kind went away
    ├── NeedsHuman             nothing changes until a person acts; carries the condition's reason and message
    │   ├── NameConflict       somebody else's object has the name of a child
    │   ├── Refused            400 and 422: the server does not accept the object
    │   └── Forbidden          403: roles, quota or a policy say no
    ├── FieldsOwned            a server-side apply without force met fields of other managers; carries who
    ├── LostLeadership         the Lease may be somebody else's: no write may follow, the process ends
    └── InvalidSettings        the operator cannot start like this; names the field and what to do

Any other exception is a bug: it is logged with its traceback, its key backs off and all other keys go on. The pure
packages raise nothing for an expected outcome: they return reasons.
"""

from berth_operator.api.conditions import Reason


class BerthmasterError(Exception):
    """The root of the tree; never raised itself."""


class Retryable(BerthmasterError):
    """Raised when trying again later may succeed. ``after_seconds`` is None where the caller's own backoff decides."""

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Throttled(Retryable):
    """Raised when the API server sheds load; ``after_seconds`` is its Retry-After."""


class Unavailable(Retryable):
    """Raised when no answer came, or one that says that the server itself is in trouble."""


class Unauthenticated(Retryable):
    """Raised when the API server does not know us, although the credentials were read again."""


class Conflict(Retryable):
    """Raised when a precondition (uid, resource version) does not hold any more: read again, decide again."""


class Expired(Retryable):
    """Raised when a paged list outlived its snapshot: list from the start."""


class Vanished(Retryable):
    """Raised when what a write needs to exist (namespace, kind, parent) does not."""


class NeedsHuman(BerthmasterError):
    """Raised when only a person can help. ``reason`` is a word of the condition vocabulary, ``message`` a sentence."""

    reason = Reason.INTERNAL_ERROR

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NameConflict(NeedsHuman):
    """Raised instead of adopting an object that somebody else made under the name of a child."""

    reason = Reason.NAME_CONFLICT


class Refused(NeedsHuman):
    """Raised when the API server finds an object invalid."""

    reason = Reason.APPLY_REJECTED


class Forbidden(NeedsHuman):
    """Raised when access control, a quota or an admission policy refuses a request."""

    reason = Reason.APPLY_FORBIDDEN


class FieldsOwned(BerthmasterError):
    """Raised when an apply without force would change fields that ``owners`` (field managers) hold."""

    def __init__(self, message: str, owners: tuple[str, ...]) -> None:
        super().__init__(message)
        self.owners = owners


class LostLeadership(BerthmasterError):
    """Raised in place of a write when the Lease was not renewed in time."""


class InvalidSettings(BerthmasterError):
    """Raised when settings, credentials or catalogues cannot be used."""
