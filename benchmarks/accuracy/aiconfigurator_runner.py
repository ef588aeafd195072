"""Asks aiconfigurator, in an interpreter that has it: JSON lines of ``cli_estimate`` arguments in, JSON lines of
answers out, ``{"ttft": ms, "tpot": ms}`` or ``{"error": why}``. Started by ``aiconfigurator_table.py``; no network."""

import json
import logging
import sys
import warnings

warnings.simplefilter("ignore")
from aiconfigurator.cli.api import cli_estimate  # type: ignore[import-not-found]  # noqa: E402

logging.disable(logging.CRITICAL)


def answer(arguments: dict[str, object]) -> dict[str, object]:
    try:
        estimate = cli_estimate(**arguments)
    except Exception as refused:  # whatever it raises is why a row has no answer
        return {"error": f"{type(refused).__name__}: {refused}"[:300]}
    return {"ttft": float(estimate.ttft), "tpot": float(estimate.tpot)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
