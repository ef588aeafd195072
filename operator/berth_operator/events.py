"""Events (``events.k8s.io/v1``): on transitions of conditions and news of right-sizing only, the same one at most every
10 minutes.

They are a courtesy to people who describe an object. They are posted in the background, at a bounded rate, so that a
fleet that changes at once gets its statuses first; one that cannot be posted is counted and forgotten.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from berth_operator import kinds
from berth_operator.api.conditions import ConditionType, cut
from berth_operator.api.v1alpha1 import Condition
from berth_operator.errors import BerthmasterError, LostLeadership
from berth_operator.kube import Kube
from berth_operator.labels import GROUP, MANAGER
from berth_operator.mirror import Entry

log = structlog.get_logger()

QUIET_SECONDS = 600.0
"""The same reason and note about the same object is news again after this."""
PER_SECOND = 20.0
"""Events posted at most: client-go's own recorder lets 25 through at once and one each 5 min per object after that."""
MAXIMUM_WAITING = 10_000
_REMEMBERED = 10_000

_TOLD = (
    ConditionType.ACCEPTED,
    ConditionType.PLACED,
    ConditionType.AUTOSCALING,
    ConditionType.BUDGET_OK,
    ConditionType.PRICED,
    ConditionType.MATCHED,
    ConditionType.STALLED,
    ConditionType.AVAILABLE,
    ConditionType.READY,
    ConditionType.SLO_MET,
    ConditionType.MISPREDICTED,
)
"""In this order: of several with one reason only the first is told."""
_FALSE_AT_FIRST = frozenset({ConditionType.AVAILABLE, ConditionType.READY})
_NEWS_WHEN_FIRST_TRUE = frozenset({ConditionType.PLACED, ConditionType.STALLED, ConditionType.MISPREDICTED})
_BAD_WHEN_TRUE = frozenset({ConditionType.STALLED, ConditionType.MISPREDICTED})


@dataclass(frozen=True, slots=True)
class News:
    """One thing worth an Event. ``reason`` is the condition's, ``action`` its type."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str


def news(before: Iterable[Condition], after: Iterable[Condition]) -> list[News]:
    """What changed: a status that flipped, or the reason of one that stays bad; one piece of news a reason."""
    known, now = ({each.type: each for each in conditions} for conditions in (before, after))
    found: dict[str, News] = {}
    for kind in _TOLD:
        condition = now.get(kind)
        if condition is not None and _is_news(kind, known.get(kind), condition):
            waiting = kind is ConditionType.READY and now.get(ConditionType.RECONCILING) is not None
            bad = (condition.status == "False" and not waiting) or kind in _BAD_WHEN_TRUE
            each = News("Warning" if bad else "Normal", condition.reason, condition.type, condition.message)
            found.setdefault(condition.reason, each)
    return list(found.values())


def _is_news(kind: ConditionType, before: Condition | None, after: Condition) -> bool:
    was = before.status if before else "False" if kind in _FALSE_AT_FIRST else "Unknown"
    if after.status == "Unknown" or (before is None and after.status == was):
        return False
    if after.status == was:
        bad = after.status == ("True" if kind in _BAD_WHEN_TRUE else "False")
        return bad and before is not None and before.reason != after.reason
    return after.status != "True" or was != "Unknown" or kind in _NEWS_WHEN_FIRST_TRUE


class Recorder:
    """Takes news in and posts it in the background. ``clock`` is a steady clock in seconds, ``now`` the wall clock."""

    def __init__(
        self,
        kube: Kube,
        *,
        instance: str,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._kube = kube
        self._instance = instance
        self._clock = clock
        self._now = now
        self._dropped = dropped
        self._told: OrderedDict[tuple[str, News], float] = OrderedDict()
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAXIMUM_WAITING)

    def tell(self, about: Entry, before: Iterable[Condition], after: Iterable[Condition]) -> None:
        """Post what changed between two sets of conditions, unless it was just told."""
        for each in news(before, after):
            self.post(about, each)

    def post(self, about: Entry, each: News) -> None:
        """Post one piece of news, unless it was just told."""
        key, now = (about.uid or about.name, each), self._clock()
        if now - self._told.get(key, float("-inf")) < QUIET_SECONDS:
            return
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        try:
            self._waiting.put_nowait(manifest(about, each, self._instance, self._now()))
        except asyncio.QueueFull:
            self._dropped()

    async def run(self) -> None:
        """Post what was told; never returns. Raises LostLeadership."""
        while True:
            event = await self._waiting.get()
            try:
                await self._kube.create(kinds.EVENT, event)
            except LostLeadership:
                raise
            except BerthmasterError as error:
                self._dropped()
                log.warning("event.failed", about=event["regarding"]["name"], reason=event["reason"], error=str(error))
            await asyncio.sleep(1 / PER_SECOND)


def manifest(about: Entry, each: News, instance: str, now: datetime) -> dict[str, Any]:
    """The Event object; of a cluster-scoped object it goes to the namespace ``default``, as the API asks."""
    namespace = about.namespace or "default"
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": kinds.EVENT.api_version,
        "kind": kinds.EVENT.name,
        "metadata": {"generateName": f"{about.name[:40]}-", "namespace": namespace},
        "eventTime": time,
        "reportingController": f"{GROUP}/{MANAGER}",
        "reportingInstance": instance[:128],
        "action": each.action,
        "reason": each.reason,
        "type": each.type,
        "note": cut(each.note, 1000) or each.reason,
        "regarding": {
            "apiVersion": about.thing["apiVersion"],
            "kind": about.thing["kind"],
            "name": about.name,
            "uid": about.uid,
            **({"namespace": about.namespace} if about.namespace else {}),
        },
    }
