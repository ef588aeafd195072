"""Keeps the ledger: writes what is due, waits longer after each failure, and says while nothing is kept."""

from datetime import datetime, timedelta

import structlog

from berth_cost.spending.ledger import Ledger
from berth_operator.errors import BerthmasterError, LostLeadership, NeedsHuman
from berth_operator.spending.ledger_document import LedgerError
from berth_operator.spending.ledger_store import LedgerStore

log = structlog.get_logger()

FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=1)
PATIENCE = 3
"""Failures that may pass by themselves before they are said; what only a person can mend is said at once."""


class LedgerKeeper:
    def __init__(self, store: LedgerStore) -> None:
        self._store = store
        self._failures = 0
        self._try_at: datetime | None = None
        self.kept = False
        """Whether there is a ConfigMap to go on from."""
        self.unsaved_hours = 0
        """Closed hours that it does not have yet."""
        self.problem: str | None = None
        """Why nothing is kept, as it was said first; None while it is."""

    async def read(self, at: datetime) -> Ledger | None:
        """What was kept, or an empty ledger; None where it cannot be known now. Raises LostLeadership."""
        if not self._is_due(at):
            return None
        try:
            found = await self._store.read()
        except LostLeadership:
            raise
        except LedgerError as error:
            log.error("spending.unreadable", error=str(error), remedy="spending of this month starts at 0")
            found = None
        except BerthmasterError as error:
            self._failed("read", at, error)
            return None
        self._succeeded()
        self.kept = found is not None
        return found or Ledger(at)

    async def write(self, ledger: Ledger, keys: frozenset[str]) -> None:
        """Write the accounts of ``keys``, if it is time to try. Raises LostLeadership."""
        if not self._is_due(ledger.at):
            return
        try:
            await self._store.write(ledger, keys)
        except LostLeadership:
            raise
        except (BerthmasterError, LedgerError) as error:
            self._failed("written", ledger.at, error)
        else:
            self._succeeded()
            self.kept, self.unsaved_hours = True, 0

    def _is_due(self, at: datetime) -> bool:
        return self._try_at is None or at >= self._try_at

    def _failed(self, what: str, at: datetime, error: BerthmasterError | LedgerError) -> None:
        wait = min(FIRST_RETRY * 2**self._failures, LAST_RETRY)
        self._failures, self._try_at = min(self._failures + 1, 10), at + wait
        log.warning("spending.unkept", hours=self.unsaved_hours, error=str(error), again_seconds=wait.total_seconds())
        if isinstance(error, NeedsHuman | LedgerError) or self._failures >= PATIENCE:
            self.problem = self.problem or f"what is spent cannot be {what}: {error}"

    def _succeeded(self) -> None:
        self._failures, self._try_at, self.problem = 0, None, None
