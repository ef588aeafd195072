"""The operator's process: settings, credentials, the health port, the Lease, then leading until told to stop.

Exit codes: 0 stopped by a signal · 1 a defect · 2 settings, credentials or catalogues that cannot be used · 3 the Lease
was lost. A process that lost its Lease ends at once, without tidying up: anything else could be a late write.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import structlog

from berth_operator import __version__, health
from berth_operator.catalogues import Catalogues
from berth_operator.credentials import Credentials
from berth_operator.errors import InvalidSettings, LostLeadership
from berth_operator.health import Limits, LoopLag, Vitals
from berth_operator.kube import Kube
from berth_operator.leader import Leader
from berth_operator.lease import Elector, Timings
from berth_operator.metrics import Metrics
from berth_operator.settings import HealthSettings, LogSettings, Settings

STOPPED, DEFECT, UNUSABLE, LOST = 0, 1, 2, 3

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """``berth-operator``; never returns."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.load(options.settings)
        catalogues = settings.catalogues.load()
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        _end(UNUSABLE)
    configure_logs(settings.log)
    for key, flagged in catalogues.prices.flagged.items():
        log.warning("price.flagged", price=str(key), flag=flagged.flag.value, message=flagged.message)
    try:
        _end(asyncio.run(Process(settings, catalogues, Credentials(options.kubeconfig, options.context)).run()))
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        _end(UNUSABLE)
    except Exception:
        log.exception("operator.defect")
        _end(DEFECT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="berth-operator", description="Keeps GPU inference workloads where they belong."
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings in YAML; every default without it")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="by default the pod's service account, else ~/.kube/config"
    )
    parser.add_argument("--context", help="context of the kubeconfig; by default its current one")
    parser.add_argument("--version", action="version", version=f"berth-operator {__version__}")
    return parser


def _end(code: int) -> NoReturn:
    """Leave at once: a plan in its thread or a watch stream must not hold the process."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Process:
    """One replica: a standby that may become the leader."""

    def __init__(self, settings: Settings, catalogues: Catalogues, credentials: Credentials) -> None:
        self._settings = settings
        self._catalogues = catalogues
        self._credentials = credentials
        self._metrics = Metrics()
        self._lag = LoopLag()
        self._leader: Leader | None = None

    async def run(self) -> int:
        """The exit code."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self._credentials.load()
        elector: Elector | None = None
        session = self._credentials.session(connections=self._settings.reconcile.connections)
        kube = Kube(
            session, fence=lambda: elector is not None and elector.still_held(), observe=self._metrics.observe_request
        )
        elector = self._elector(kube)
        runner = await self._serve_health(kube, self._settings.health)
        measuring = asyncio.create_task(self._lag.run(self._metrics.loop_lag.set))
        leading = asyncio.create_task(self._lead(kube, elector))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((leading, stopping), return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                leading.result()
            log.info("operator.stopping")
            leading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leading
            await elector.release()
        except LostLeadership as error:
            log.critical("lease.lost", error=str(error))
            _end(LOST)
        measuring.cancel()
        await runner.cleanup()
        await session.close()
        return STOPPED

    async def _lead(self, kube: Kube, elector: Elector) -> None:
        """Wait for the Lease, then lead for as long as it is held; raises LostLeadership."""
        await elector.acquire(lambda holder: log.info("lease.waiting", holder=holder))
        log.info("lease.taken", identity=elector.identity)
        self._metrics.leading.set(1)
        self._leader = Leader(
            kube,
            self._credentials,
            self._settings,
            catalogues=self._catalogues,
            metrics=self._metrics,
            instance=elector.identity,
        )
        await asyncio.gather(self._hold(elector), self._leader.run())

    @staticmethod
    async def _hold(elector: Elector) -> None:
        """Renew; ends the process from here, so that nothing in between can delay it."""
        try:
            await elector.hold()
        except LostLeadership as error:
            log.critical("lease.lost", error=str(error))
            _end(LOST)

    def _elector(self, kube: Kube) -> Elector:
        lease = self._settings.lease
        return Elector(
            kube,
            namespace=lease.home,
            name=lease.name,
            # New in every process: a container that was restarted is not the one that held the Lease.
            identity=f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
            timings=Timings(lease.duration_seconds, lease.renew_deadline_seconds, lease.retry_seconds),
        )

    async def _serve_health(self, kube: Kube, settings: HealthSettings) -> health.Runner:
        limits = Limits(
            settings.oldest_key_seconds, settings.loop_lag_seconds, settings.plan_seconds, settings.silent_seconds
        )

        def vitals() -> Vitals:
            silent = time.monotonic() - kube.answered_at
            if self._leader is None:
                return Vitals(self._lag.seconds, silent)
            return self._leader.vitals(self._lag.seconds, silent)

        def scrape() -> None:
            if self._leader is not None:
                self._leader.measure()

        host = settings.host
        try:
            return await health.serve(
                (host, settings.port), vitals, self._metrics.registry, limits=limits, scrape=scrape
            )
        except OSError as error:
            raise InvalidSettings(
                f"health.host, health.port: cannot listen on {host or '*'}:{settings.port}: {error}"
            ) from error


def configure_logs(settings: LogSettings) -> None:
    """One JSON object a line on stdout, of ours and of the libraries; theirs only from warnings on."""
    level = getattr(logging, settings.level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    plain = structlog.dev.plain_traceback
    last: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    if settings.format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("kopf", "aiohttp", "asyncio", "kubernetes"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it warns that signals are left to us
