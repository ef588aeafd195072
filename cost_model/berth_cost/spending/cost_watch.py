"""The watch over the cost of a fleet: window by window, every service at once, judged by the windows before.

What is told and when: :mod:`berth_cost.spending.anomaly`.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import numpy as np

from berth_cost.spending.anomaly import Anomaly, Cause, Sensitivity, Use, Window
from berth_cost.spending.fleet_history import (
    DIVISOR,
    UNIT_PRICE,
    UNITS,
    Columns,
    FleetHistory,
    Floats,
    median_of_known,
)


class CostWatch:
    """Remembers ``sensitivity.days`` of windows of every service and which alarms were raised lately."""

    def __init__(self, sensitivity: Sensitivity) -> None:
        self._sensitivity = sensitivity
        self._history = FleetHistory(sensitivity.days * sensitivity.windows_per_day + 2)
        self._rates: dict[str, deque[float]] = {}
        self._requests: deque[dict[str, float]] = deque(maxlen=sensitivity.settling_windows)
        self._sounding: dict[tuple[str, Cause, str | None], tuple[int, Anomaly]] = {}
        """What was raised, and from which window on it is over if it does not go on."""

    def observe(self, window: Window) -> list[Anomaly]:
        """The alarms that one more window raises, judged by the windows before it; by service."""
        usual = {kind: median(rates) for kind, rates in self._rates.items()}
        self._requests.append(_requests(window))
        services = sorted(window.used)
        columns, logs = self._history.columns(services), self._logs(window, services, usual)
        alarms = self._rate_alarms(window, usual)
        for cause, beyond in (
            (Cause.USE, self._use(columns, logs)),
            (Cause.MIX, self._mix(columns, logs)),
        ):
            alarms += self._told(services, columns, cause, beyond, _usd(window, services))
        raised = self._raised(alarms)
        self._history.append(columns, logs)
        for kind, rate in window.rate.items():
            self._rates.setdefault(kind, deque(maxlen=self._sensitivity.windows_per_day)).append(rate)
        return raised

    def sounding(self) -> dict[str, Anomaly]:
        """By service what goes on, as it was when it was raised; of several the first cause."""
        found: dict[str, Anomaly] = {}
        for service, cause, kind in sorted(self._sounding, key=_order):
            found.setdefault(service, self._sounding[service, cause, kind][1])
        return found

    def remember(self, service: str, rates: Mapping[str, float], uses: Sequence[Use], times: int = 1) -> None:
        """The windows just before now of one service, oldest first, at ``rates``; each lasted for ``times`` windows.
        They raise nothing."""
        figures = np.array([_figures(use, rates, rates) for use in uses], dtype=np.float64).reshape(-1, 2)
        units, unit_price = np.repeat(figures, times, axis=0).T
        requests = np.repeat([np.nan if use.requests is None else use.requests for use in uses], times)
        lately = requests.copy()
        for back in range(1, min(self._sensitivity.settling_windows, len(requests))):
            lately[back:] = np.fmax(lately[back:], requests[:-back])
        self._history.fill(service, {UNITS: _log(units), DIVISOR: _log(lately), UNIT_PRICE: _log(unit_price)})

    def remember_rates(self, rates: Mapping[str, Sequence[float]]) -> None:
        """The prices of the windows just before now, oldest first."""
        for kind, past in rates.items():
            self._rates.setdefault(kind, deque(maxlen=self._sensitivity.windows_per_day)).extendleft(reversed(past))

    def pass_over(self, windows: int) -> None:
        """Windows in which nobody looked."""
        nobody, nothing = self._history.columns(()), {name: np.empty(0) for name in (UNITS, DIVISOR, UNIT_PRICE)}
        for _ in range(min(windows, self._sensitivity.days * self._sensitivity.windows_per_day + 2)):
            self._history.append(nobody, nothing)
            self._requests.append({})

    def forget_traffic(self, service: str) -> None:
        """Its traffic is told by somebody else from now on, who counts otherwise."""
        self._history.blank(service, DIVISOR)
        for past in self._requests:
            past.pop(service, None)

    def forget_but(self, services: Iterable[str]) -> None:
        self._history.forget_but(services)

    # --- what moved ------------------------------------------------------------------------------------------------

    def _logs(self, window: Window, services: Sequence[str], usual: Mapping[str, float]) -> dict[str, Floats]:
        found = [
            _figures(use, window.rate, usual) if (use := window.used[service]).settled else (np.nan, np.nan)
            for service in services
        ]
        units, unit_price = np.array(found, dtype=np.float64).reshape(-1, 2).T
        known = [[one.get(service, np.nan) for service in services] for one in self._requests]
        lately = np.fmax.reduce(np.array(known, dtype=np.float64).reshape(len(known), -1), axis=0)
        unheard = np.isnan(np.array(known[-1], dtype=np.float64))
        return {UNITS: _log(units), DIVISOR: _log(np.where(unheard, np.nan, lately)), UNIT_PRICE: _log(unit_price)}

    def _rate_alarms(self, window: Window, usual: Mapping[str, float]) -> list[Anomaly]:
        least, moved = self._sensitivity.rate_factor, dict[str, float]()
        for kind, rate in window.rate.items():
            before = usual.get(kind, 0.0)
            if before > 0 and not 1 / least <= rate / before <= least:
                moved[kind] = before
        if not moved:
            return []
        return [
            Anomaly(service, self._history.seen, Cause.RATE, kind, rate / moved[kind], (rate - moved[kind]) * quantity)
            for service in sorted(window.used)
            for kind, quantity in sorted(window.used[service].quantity.items())
            if kind in moved and quantity > 0
            for rate in (window.rate[kind],)
        ]

    def _use(self, columns: Columns, logs: dict[str, Floats]) -> Floats:
        """By how much use is too high or too low, as a logarithm; 0 where it is neither."""
        units, divisor = logs[UNITS], logs[DIVISOR]
        by_request = self._residual(columns, units - divisor, (UNITS, DIVISOR))
        told = self._odd(columns, by_request, self._sensitivity.use_factor, (UNITS, DIVISOR))
        told = np.where(self._moved(columns, units, told), told, 0.0)
        return np.where(np.isnan(by_request), self._jump(columns, units), told)

    def _moved(self, columns: Columns, units: Floats, way: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether the quantity itself is off, the same way: what it is at this time, or what it was an hour ago."""
        (hour_ago,) = self._history.rows(UNITS, [max(self._day // 24, 1)], columns)
        usual = median_of_known(self._same_time(columns, UNITS))
        farthest = np.fmax((units - usual) * np.sign(way), (units - hour_ago) * np.sign(way))
        return np.asarray(farthest > np.log(self._sensitivity.quantity_factor))

    def _mix(self, columns: Columns, logs: dict[str, Floats]) -> Floats:
        beyond = self._residual(columns, logs[UNIT_PRICE], (UNIT_PRICE,))
        return self._odd(columns, beyond, self._sensitivity.mix_factor, (UNIT_PRICE,))

    def _odd(self, columns: Columns, beyond: Floats, least: float, names: tuple[str, ...]) -> Floats:
        """``beyond`` where it is far by its factor and by its z-score, 0 elsewhere."""
        far = np.flatnonzero(np.abs(np.nan_to_num(beyond)) >= np.log(least))
        told = np.zeros(len(beyond))
        if len(far):
            past = self._past(columns[far], names, range(1, self._sensitivity.days * self._day + 3))
            spread = median_of_known(np.abs(past - median_of_known(past)))
            z = 0.6745 * np.abs(beyond[far]) / np.maximum(spread, self._sensitivity.least_spread)
            told[far] = np.where(z >= self._sensitivity.least_z, beyond[far], 0.0)
        return told

    def _residual(self, columns: Columns, now: Floats, names: tuple[str, ...]) -> Floats:
        """How far a value is from what is usual; NaN with less than a day of past.

        Usual is the median of the same and the neighbouring windows of earlier days, and the median of the last hours:
        odd by both, or it is not odd.
        """
        by_time = now - median_of_known(self._same_time(columns, *names))
        by_level = now - median_of_known(self._past(columns, names, range(1, self._day // 4 + 1)))
        nearest = np.where(np.abs(by_time) < np.abs(by_level), by_time, by_level)
        beyond = np.where(by_time * by_level > 0, nearest, 0.0)
        known = np.isfinite(by_time) & np.isfinite(by_level) & self._grown(columns)
        return np.where(known, beyond, np.nan)

    def _jump(self, columns: Columns, units: Floats) -> Floats:
        """By how much use is above its usual, where it has jumped and stayed; 0 where it has not."""
        jump = self._sensitivity.jump
        before = jump.windows  # so many windows ago it had not jumped yet
        if jump.windows > 1:
            least = np.minimum(units, self._history.rows(UNITS, range(1, jump.windows), columns).min(axis=0))
        else:
            least = units
        (last,) = self._history.rows(UNITS, [before], columns)
        hour = range(before, before + max(self._day // 24, 1))
        busiest = np.fmax.reduce(self._history.rows(UNITS, hour, columns), axis=0)
        usual = median_of_known(self._same_time(columns, UNITS, back=jump.windows - 1))
        rises = ((last, jump.over_last), (busiest, jump.over_busiest), (usual, jump.over_usual))
        risen = np.all([least - baseline > np.log(factor) for baseline, factor in rises], axis=0)
        risen &= self._grown(columns, jump.windows - 1)
        return np.where(risen, least - np.fmax(busiest, usual), 0.0)

    # --- what is usual ---------------------------------------------------------------------------------------------

    @property
    def _day(self) -> int:
        return self._sensitivity.windows_per_day

    def _grown(self, columns: Columns, back: int = 0) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether a day was known so many windows ago."""
        return np.asarray(self._history.seen - back - self._history.born[columns] >= self._day)

    def _past(self, columns: Columns, names: tuple[str, ...], backs: Iterable[int]) -> Floats:
        """The first figure, less the second where there is one."""
        first, *rest = (self._history.rows(name, list(backs), columns) for name in names)
        return first - rest[0] if rest else first

    def _same_time(self, columns: Columns, *names: str, back: int = 0) -> Floats:
        """What was at this time of earlier days and beside it; or at the time that was ``back`` windows ago."""
        days = range(1, self._sensitivity.days + 1)
        return self._past(columns, names, [day * self._day + back - near for day in days for near in (-1, 0, 1)])

    # --- what is said ----------------------------------------------------------------------------------------------

    def _told(
        self, services: Sequence[str], columns: Columns, cause: Cause, beyond: Floats, usd: Floats
    ) -> list[Anomaly]:
        """Nothing where what moved is little money."""
        far = np.flatnonzero(beyond)
        if not len(far):
            return []
        past = (self._history.rows(name, range(1, self._day + 1), columns[far]) for name in (UNITS, UNIT_PRICE))
        usually = np.exp(median_of_known(sum(past, np.zeros((1, 1)))))
        factors = np.exp(beyond[far])
        moved = usd[far] * (1 - 1 / factors)
        return [
            Anomaly(services[place], self._history.seen, cause, None, float(factor), float(more))
            for place, factor, more, least in zip(far.tolist(), factors, moved, usually, strict=True)
            if abs(more) >= self._sensitivity.least_usd_share * least
        ]

    def _raised(self, alarms: Iterable[Anomaly]) -> list[Anomaly]:
        """Those whose watch was quiet."""
        here, raised = self._history.seen, []
        self._sounding = {key: (until, one) for key, (until, one) in self._sounding.items() if until > here}
        for alarm in sorted(alarms, key=lambda one: _order((one.service, one.cause, one.kind))):
            key = (alarm.service, alarm.cause, alarm.kind)
            if key not in self._sounding:
                raised.append(alarm)
            first = self._sounding.get(key, (0, alarm))[1]
            self._sounding[key] = (here + self._sensitivity.quiet_windows, first)
        return raised


def anomalies(windows: Sequence[Window], sensitivity: Sensitivity) -> list[Anomaly]:
    """Every alarm of a series, in order."""
    watch = CostWatch(sensitivity)
    return [alarm for window in windows for alarm in watch.observe(window)]


def _order(key: tuple[str, Cause, str | None]) -> tuple[str, int, str]:
    service, cause, kind = key
    return service, list(Cause).index(cause), kind or ""


def _figures(use: Use, rates: Mapping[str, float], usual: Mapping[str, float]) -> tuple[float, float]:
    """Units, and the price of an average one, each kind at its usual rate, where it has one."""
    units = sum(use.quantity.values())
    usd = sum(quantity * usual.get(kind, rates[kind]) for kind, quantity in use.quantity.items() if quantity > 0)
    return units, usd / units if units > 0 else np.nan


def _usd(window: Window, services: Sequence[str]) -> Floats:
    """What each service cost."""
    return np.array(
        [
            sum(quantity * window.rate[kind] for kind, quantity in window.used[service].quantity.items() if quantity)
            for service in services
        ],
        dtype=np.float64,
    )


def _requests(window: Window) -> dict[str, float]:
    return {service: use.requests for service, use in window.used.items() if use.requests is not None}


def _log(values: Floats) -> Floats:
    """NaN of what is not above zero."""
    return np.log(np.where(values > 0, values, np.nan))
