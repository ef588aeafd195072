"""Traces of spot capacity: what is read, and every hostile line that is refused by its number."""

import pytest

from berth_cost.document import DocumentError
from berth_cost.spot.trace import read_spot_trace, region_of, write_spot_trace

HEADER = "trace_id,tick_start,tick_end,nodes_available\n"


def refused(text: str, select: str = "*") -> str:
    with pytest.raises(DocumentError) as caught:
        read_spot_trace(text, "trace.csv", select)
    return str(caught.value)


def test_rows_in_any_order_become_one_column_a_zone_sorted_by_name() -> None:
    trace = read_spot_trace(HEADER + "us-west-2b,0,3,1\nus-east-1a,2,3,0\nus-east-1a,0,2,4\n", "trace.csv")
    assert trace.zones == ("us-east-1a", "us-west-2b")
    assert trace.regions == ("us-east-1", "us-west-2")
    assert trace.nodes.tolist() == [[4, 1], [4, 1], [0, 1]]


def test_a_trace_that_does_not_start_at_zero_keeps_its_clock() -> None:
    trace = read_spot_trace(HEADER + "a,100,103,1\n", "trace.csv")
    assert (trace.first_tick, trace.ticks) == (100, 3)


def test_what_is_written_is_read_back() -> None:
    trace = read_spot_trace(HEADER + "a,5,7,1\na,7,9,0\nb,5,9,2\n", "trace.csv")
    again = read_spot_trace(write_spot_trace(trace), "trace.csv")
    assert again.nodes.tolist() == trace.nodes.tolist()
    assert (again.zones, again.first_tick) == (trace.zones, trace.first_tick)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,0,3,-1", "line 2: nodes_available must be a whole number"),
        ("a,0,3,nan", "line 2: nodes_available must be a whole number"),
        ("a,0,3,inf", "line 2: nodes_available must be a whole number"),
        ("a,0,3,0.5", "line 2: nodes_available must be a whole number"),
        ("a,0,3,1e3", "line 2: nodes_available must be a whole number"),
        ('a,0,3,"1,000"', "line 2: nodes_available must be a whole number of at least 0 without separators"),
        ("a,0,3,٣", "line 2: nodes_available must be a whole number"),
        ("a,0,3,99999999", "line 2: nodes_available 99999999 is above"),
        ("a,3,3,1", "line 2: tick_end 3 must be above tick_start 3"),
        ("a,-1,3,1", "line 2: tick_start must be a whole number"),
        (",0,3,1", "line 2: trace_id must be a name"),
        ("us east 1a,0,3,1", "line 2: trace_id must be a name"),
        ('"a,b",0,3,1', "line 2: trace_id must be a name"),
        ("a\x1b[2J,0,3,1", "line 2: trace_id must be a name"),
        ("a,0,3", "line 2: has 3 cells where 4 are due"),
        ("a,0,3,1,9", "line 2: has 5 cells where 4 are due"),
        ("a,0,1000000000,1", "are more than 20,000,000"),
    ],
)
def test_a_hostile_row_is_refused_by_its_line(row: str, said: str) -> None:
    assert said in refused(HEADER + row + "\n")


def test_gaps_and_overlaps_are_named_with_the_line_and_the_ticks() -> None:
    text = refused(HEADER + "a,0,3,1\na,5,7,1\nb,0,4,1\nb,3,7,0\n")
    assert "line 3: of a starts at tick 5: ticks 3 to 4 are missing" in text
    assert "line 5: of b repeats ticks of line 4 (from 3)" in text


def test_zones_that_cover_different_ticks_are_not_replayed_jointly() -> None:
    text = refused(HEADER + "a,0,3,1\nb,0,4,1\n")
    assert "line 3: b covers ticks 0 to 3, a 0 to 2" in text
    assert "--select" in text


@pytest.mark.parametrize("header", ["", "trace_id,tick_start,tick_end\n", "a,b,c,d\n", HEADER.strip() + ",price\n"])
def test_another_header_is_refused(header: str) -> None:
    assert "line 1: must be the header trace_id,tick_start,tick_end,nodes_available" in refused(header + "a,0,1,1\n")


def test_a_file_without_rows_and_a_pattern_without_match_are_refused() -> None:
    assert "has no rows" in refused(HEADER)
    assert "has no trace_id like 'x*'" in refused(HEADER + "a,0,3,1\n", "x*")


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("us-east-1a", "us-east-1"),
        ("avail-1-node-aws-02-15-2023-us-west-2c-v100_1", "us-west-2"),
        ("preem-1-node-gcp-04-30-2023-us-central1-a-c3-88", "us-central1"),
        ("ap-southeast-2b", "ap-southeast-2"),
        ("rack-7", "rack-7"),
    ],
)
def test_the_region_is_read_from_the_name_of_the_zone(zone: str, region: str) -> None:
    assert region_of(zone) == region
