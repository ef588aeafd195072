"""Where the ledger is kept: one ConfigMap beside the Lease, read once and written at most once an hour.

It is found as a list of one name, which asks for no right beyond that of listing it.
"""

import asyncio
import base64
import binascii
from typing import Any

from berth_cost.spending.ledger import Ledger
from berth_operator import kinds
from berth_operator.kube import Kube
from berth_operator.labels import MANAGER, TEMPLATE_MANAGER
from berth_operator.spending.ledger_document import LedgerError, packed, unpacked

KEY = "ledger.json.gz"
LABELS = {"app.kubernetes.io/part-of": MANAGER}
"""Not those of a workload's children, which are mirrored, and swept where no workload needs them."""


class LedgerStore:
    def __init__(self, kube: Kube, *, namespace: str, name: str) -> None:
        self._kube = kube
        self.namespace = namespace
        self.name = name

    async def read(self) -> Ledger | None:
        """None where there is none yet. Raises BerthmasterError, and LedgerError for what is none."""
        found = await self._kube.find(kinds.CONFIG_MAP, self.name, self.namespace)
        text = ((found or {}).get("binaryData") or {}).get(KEY)
        if text is None:
            return None
        try:
            return unpacked(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise LedgerError(f"ConfigMap {self.namespace}/{self.name}: {error}") from error

    async def write(self, ledger: Ledger, keys: frozenset[str]) -> int:
        """Keep the accounts of ``keys``; hours of history that found room. Raises BerthmasterError and LedgerError."""
        data, hours = await asyncio.to_thread(packed, ledger, keys)  # a second for a large fleet
        body: dict[str, Any] = {
            "apiVersion": kinds.CONFIG_MAP.api_version,
            "kind": kinds.CONFIG_MAP.name,
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": LABELS},
            "binaryData": {KEY: base64.b64encode(data).decode()},
        }
        await self._kube.apply(kinds.CONFIG_MAP, body, manager=TEMPLATE_MANAGER, force=True)
        return hours
