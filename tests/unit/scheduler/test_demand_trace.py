"""Traces of demand: what is read, what is refused by its line, what is cut out."""

import numpy as np
import pytest

from berth_scheduler.simulation.demand_ticks import Ticks, ticks_of
from berth_scheduler.simulation.demand_trace import TraceError, read_spot_trace, read_trace
from berth_scheduler.simulation.trace_holes import holes

HEAD = "t_s,requests_per_min\n"


def flat(text: str) -> Ticks:
    return ticks_of(read_trace(text), lambda _prompt, _output: (np.array(1.0), np.array(1.3)))


def test_demand_is_linear_between_rows() -> None:
    ticks = flat(HEAD + "0,60\n600,660\n")
    assert ticks.windows == 10
    assert ticks.peak[0] == pytest.approx(1.5)  # 1/s at 0 s, 2/s a minute later
    assert ticks.peak_of_windows().tolist() == pytest.approx([2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    # A policy sees the mean of the minute behind it, and before the trace what the first row says.
    assert ticks.observed[:4].tolist() == pytest.approx([1.0, 1.125, 1.5, 2.0])
    assert ticks.mean[0] == pytest.approx(1.25)


def test_a_spike_between_two_evaluations_counts() -> None:
    ticks = flat(HEAD + "0,60\n10,60\n15,600\n20,60\n120,60\n")
    assert ticks.peak.tolist() == pytest.approx([10, 1, 1, 1])
    assert ticks.mean[0] == pytest.approx((30 + 5 * 9) / 30)


def test_columns_come_in_any_order_beside_others_with_any_line_ends() -> None:
    trace = read_trace("\ufeffnote,requests_per_min, t_s\r\nx,60,0\r\n\r\ny,120,600\r\n")
    assert trace.seconds.tolist() == [0, 600]
    assert trace.requests_per_second.tolist() == [1, 2]
    assert trace.ignored == ("note",)


def test_minutes_without_requests_take_the_lengths_before_them() -> None:
    trace = read_trace("t_s,requests_per_min,mean_prompt_tokens,mean_output_tokens\n0,0,,\n60,5,100,10\n120,0,,0\n")
    assert trace.prompt_tokens is not None and trace.output_tokens is not None
    assert trace.prompt_tokens.tolist() == [100, 100, 100]
    assert trace.output_tokens.tolist() == [10, 10, 10]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the first line must name the column t_s once, and it is empty"),
        (
            "t_s;requests_per_min\n0;60\n",
            "line 1: the first line must name the column t_s once, it says 't_s;requests_p",
        ),
        ("t_s\trequests_per_min\n0\t60\n", "line 1: the first line must name the column t_s once, it says 't_s\\treq"),
        (HEAD + "2023-11-16T18:15:46,60\n", "line 2: t_s is '2023-11-16T18:15:46': write a finite number of seconds"),
        (HEAD + "0,60\n120,60\n60,60\n", "line 4: t_s is 60 after 120: it must grow from row to row: sort the file"),
        ("time,rate\n0,1\n", "line 1: the first line must name the column t_s once, it says 'time,rate'"),
        ("t_s,t_s,requests_per_min\n", "line 1: the first line must name the column t_s once"),
        (HEAD, "line 1: a trace needs at least two rows"),
        (HEAD + "0,60\n", "line 2: a trace needs at least two rows"),
        (HEAD + "0,60\n60,nan\n", "line 3: requests_per_min is 'nan': write a finite number"),
        (HEAD + "0,60\n60,inf\n", "line 3: requests_per_min is 'inf'"),
        (HEAD + "0,60\n60,1e999\n", "line 3: requests_per_min is '1e999'"),
        (HEAD + "0,60\n60,1_000\n", "line 3: requests_per_min is '1_000'"),
        (HEAD + "0,60\n60,\n", "line 3: requests_per_min is ''"),
        (HEAD + "0,60\n60,=1+1\n", "line 3: requests_per_min is '=1+1'"),
        (HEAD + "0,60\n600,-1\n", "line 3: requests_per_min is -1: it must be between 0 and 1e+09"),
        (HEAD + "0,60\n600,1e12\n", "line 3: requests_per_min is 1e+12"),
        (HEAD + "0,60\n60,60\n60,70\n", "line 4: t_s is 60 after 60: it must grow"),
        (HEAD + "0,60\n60\n", "line 3: 1 cells, but the first line names 2 columns"),
        (HEAD + "0,60\n60,60,60\n", "line 3: 3 cells"),
        (HEAD + '0,60\n"60,60\n120,60\n', "line 3: is not CSV"),
        (HEAD + "0,60\n60," + "9" * 20_000 + "\n", "line 3: longer than 10,000 characters"),
        (HEAD + "0,60\n60,\x00\n", "line 3: "),
        (HEAD + "0,0\n600,0\n", "line 2: requests_per_min is 0 in every row"),
        (HEAD + "0,60\n60,60\n", "line 3: the trace spans 60 s"),
        (HEAD + "0,60\n1e11,60\n", "line 3: the trace spans more than 400 days"),
        (
            "t_s,requests_per_min,mean_prompt_tokens\n0,1,2\n600,1,2\n",
            "line 1: mean_prompt_tokens and mean_output_tokens",
        ),
        (
            "t_s,requests_per_min,mean_prompt_tokens,mean_output_tokens\n0,1,2,3\n600,1,-2,3\n",
            "line 3: mean_prompt_tokens is -2",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_line(text: str, said: str) -> None:
    with pytest.raises(TraceError) as refused:
        read_trace(text)
    assert str(refused.value).startswith(said)


def test_lengths_at_which_a_replica_sustains_nothing_are_refused_by_their_line() -> None:
    text = "t_s,requests_per_min,mean_prompt_tokens,mean_output_tokens\n0,1,100,10\n600,1,90000,10\n"
    with pytest.raises(TraceError, match="line 3: a replica of this plan sustains no request of 90000 prompt"):
        ticks_of(read_trace(text), lambda prompt, _output: (np.where(prompt > 1e4, 0.0, 1.0), np.ones(len(prompt))))  # type: ignore[arg-type, operator]


# --- holes -------------------------------------------------------------------------------------------------------


def minutes(rates: list[float]) -> str:
    return HEAD + "".join(f"{60 * place},{rate}\n" for place, rate in enumerate(rates))


def test_a_long_run_of_zeros_amid_traffic_is_a_hole() -> None:
    rates = [40.0] * 60 + [0.0] * 22 + [40.0] * 60
    assert holes(read_trace(minutes(rates))) == [(59 * 60.0, 82 * 60.0)]
    ticks = flat(minutes(rates))
    # The hole, and the minute after it in which the last minute's rate is not known.
    assert ticks.windows_cut == 24
    assert ticks.windows == len(rates) - 1 - 24
    assert ticks.mean.min() == pytest.approx(40 / 60)


def test_missing_rows_amid_traffic_are_a_hole() -> None:
    rows = [f"{60 * at},40" for at in (*range(60), *range(90, 150))]
    trace = read_trace(HEAD + "\n".join(rows) + "\n")
    assert holes(trace) == [(59 * 60.0, 90 * 60.0)]
    assert flat(HEAD + "\n".join(rows) + "\n").windows_cut == 32
    # Rows that are far apart throughout, and minutes that are left out because hardly anything arrives, are none.
    assert holes(read_trace(HEAD + "0,60\n36000,60\n72000,60\n")) == []
    assert holes(read_trace(HEAD + "".join(f"{60 * at},0.1\n" for at in (*range(60), *range(90, 150))))) == []


def test_rows_that_were_measured_in_part_belong_to_the_hole_beside_them() -> None:
    rates = [40.0] * 60 + [0.5] + [0.0] * 22 + [0.3] + [40.0] * 60
    assert holes(read_trace(minutes(rates))) == [(59 * 60.0, 84 * 60.0)]
    assert flat(minutes(rates)).mean.min() == pytest.approx(40 / 60)
    # A row that shows a good part of the demand beyond it was measured.
    lower = [40.0] * 60 + [20.0] + [0.0] * 22 + [20.0] + [40.0] * 60
    assert holes(read_trace(minutes(lower))) == [(60 * 60.0, 83 * 60.0)]


def test_a_lull_and_a_quiet_night_are_demand() -> None:
    bursty = [300.0, 0.0, 0.0, 0.0, 531.0] * 12
    quiet = [0.2] * 60 + [0.0] * 30 + [0.2] * 60
    assert holes(read_trace(minutes(bursty))) == []
    assert holes(read_trace(minutes(quiet))) == []


# --- spot --------------------------------------------------------------------------------------------------------


def test_a_trace_of_spot_is_read() -> None:
    trace = read_spot_trace("t_s,nodes_available,usd_per_node_hour\n0,3,0.5\n600,0,\n")
    assert trace.nodes.tolist() == [3, 0]
    assert trace.usd_per_node_hour[0] == 0.5
    assert np.isnan(trace.usd_per_node_hour[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t_s,nodes_available\n", "line 1: a trace of spot needs at least one row"),
        ("t_s,nodes_available\n0,1.5\n", "line 2: nodes_available is 1.5"),
        ("t_s,nodes_available\n0,-1\n", "line 2: nodes_available is -1"),
        ("t_s,nodes_available,usd_per_node_hour\n0,1,-2\n", "line 2: usd_per_node_hour is -2"),
    ],
)
def test_a_spot_trace_that_cannot_be_is_refused_by_its_line(text: str, said: str) -> None:
    with pytest.raises(TraceError) as refused:
        read_spot_trace(text)
    assert str(refused.value).startswith(said)
