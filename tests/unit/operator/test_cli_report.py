"""``berth report``: one page that a manager can read, that loads nothing and believes no name."""

import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from berth_operator.cli import run
from berth_operator.cli.report.page import page
from berth_scheduler.plan import plan
from berth_scheduler.savings.saving import Baseline
from berth_scheduler.snapshot import CapacityType, Placement, Snapshot, SpotRisk
from example_snapshots import BERT, decision, now_running, p99, pool, snapshot, vision
from kubernetes_objects import claim, workload
from kubernetes_objects import pool as gpu_pool

AT = ("--at", "2026-11-02T12:00:00Z")
VOID = {"meta", "link", "br", "img", "path", "use", "rect"}
EVIL = '<script>alert("x")</script>&\u202e'


class Outline(HTMLParser):
    """What a page is made of; every element closes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.opened: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.opened.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((tag, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.opened and re.fullmatch("h[1-6]", self.opened[-1]):
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """``written(*objects)``: exit code and page."""

    def call(*objects: dict[str, Any]) -> tuple[int, str]:
        import yaml

        infra, target = tmp_path / "infra.yaml", tmp_path / "report.html"
        infra.write_text(yaml.safe_dump_all(objects))
        code = run(["report", "-f", str(infra), *AT, "-o", str(target)])
        return code, target.read_text(encoding="utf-8")

    return call


def roomy(**spec: Any) -> dict[str, Any]:
    return gpu_pool(
        "l4",
        **{
            "maximumNodes": 20,
            "nodeSelector": {"pool": "l4"},
            "nodeResources": {"cpu": 8, "memory": "32Gi"},
            "price": {"cloud": "aws", "region": "us-east-1", "instanceType": "g6.xlarge"},
        }
        | spec,
    )


def fleet() -> Snapshot:
    """Spot, something that runs too large, and something that cannot be placed."""
    pools = (
        pool("l4", "L4", "0.80", nodes=8),
        pool(
            "l4-spot",
            "L4",
            "0.30",
            nodes=8,
            capacity_type=CapacityType.SPOT,
            spot=SpotRisk(interruptions_per_hour=0.05, startup_seconds=120),
        ),
    )
    big = decision(plan(snapshot([vision("a/big")], pools)))
    runs = now_running(vision("a/big"), tuple(b.model_copy(update={"replicas": 4}) for b in big.berths), pools)
    both = Placement(capacity_types=(CapacityType.ON_DEMAND, CapacityType.SPOT))
    spot = vision("b/spot", 3000, placement=both)
    return snapshot([runs, spot, vision("c/no", 20, model=BERT, latency=p99(1))], pools)


def test_the_command_writes_one_page_that_parses(written: Callable[..., tuple[int, str]]):
    code, text = written(workload(), claim(), roomy())
    found = Outline(text)
    assert code == 0
    assert found.opened == []
    assert [level for level, _ in found.headings][:2] == ["h1", "h2"]
    assert {"Where the saving comes from", "By workload", "What it risks", "Prices"} <= {
        name for _, name in found.headings
    }
    assert {"h1", "main", "section", "figure", "svg", "table", "caption", "th"} <= found.tags


def test_the_page_loads_nothing(written: Callable[..., tuple[int, str]]):
    _, text = written(workload(), claim(), roomy())
    found = Outline(text)
    assert not {"script", "link", "img", "iframe", "object", "audio", "video"} & found.tags
    for _, attributes in found.elements:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attributes.get(name) or "#").startswith("#"), attributes
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    policy = next(a["content"] for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy or "").startswith("default-src 'none'")


def test_every_picture_says_in_words_what_it_shows(written: Callable[..., tuple[int, str]]):
    _, text = written(workload(), claim(), roomy())
    images = [attributes for _, attributes in Outline(text).elements if attributes.get("role") == "img"]
    assert len(images) == 2
    assert all("$" in (image["aria-label"] or "") for image in images)


def test_identifiers_are_unique_and_what_refers_to_them_finds_them(written: Callable[..., tuple[int, str]]):
    _, text = written(workload(), claim(), roomy())
    names = [attributes["id"] for _, attributes in Outline(text).elements if "id" in attributes]
    assert len(names) == len(set(names))
    referred = re.findall(r"url\(#([^)]+)\)", text) + re.findall(r'xlink:href="#([^"]+)"', text)
    assert referred
    assert set(referred) <= set(names)


def test_equal_input_gives_equal_bytes(written: Callable[..., tuple[int, str]]):
    assert written(workload(), claim(), roomy()) == written(workload(), claim(), roomy())


def test_without_matplotlib_the_tables_say_it_all(
    written: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "berth_operator.cli.report.pictures", raising=False)
    code, text = written(workload(), claim(), roomy())
    assert code == 0
    assert "pip install 'berthmaster[plots]'" in capsys.readouterr().err
    assert "figure" not in Outline(text).tags
    assert "together" in text


def test_what_cannot_be_placed_is_told_and_ends_with_two(written: Callable[..., tuple[int, str]]):
    code, text = written(workload(objectives={"latency": {"p99Milliseconds": "0.01"}}), claim(), roomy())
    assert code == 2
    assert "Not placed" in text


def test_a_file_that_cannot_be_written_is_an_error_in_the_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code = run(["report", "-f", str(tmp_path), *AT, "-o", str(tmp_path / "none" / "report.html")])
    assert code == 1
    assert capsys.readouterr().err.startswith("error: ")


# --- what is in it -------------------------------------------------------------------------------------------------


def shown(asked: Snapshot) -> str:
    return " ".join(" ".join(Outline(page(plan(asked), asked, ())).text).replace("\u2060", "").split())


def test_cost_now_and_planned_and_the_difference_stand_at_the_top():
    asked = fleet()
    made = plan(asked)
    total = next(one for one in made.totals.savings if one.baseline is Baseline.RUNNING)
    text = shown(asked)
    # Four L4 at $0.80 run where one does: 4 × 0.80 × 730, and three of them too many.
    assert total.workloads == 1
    assert "Cost now $2,336 a month, for 1 of 2 placed workloads" in text
    assert "Saved against now $1,752 a month, 75 % less than $2,336" in text


def test_risks_are_told_in_numbers():
    text = shown(fleet())
    assert "of 4 replicas on spot" in text or "replicas on spot: about" in text
    assert "estimated without a measurement of the model" in text
    assert "c/no latency p99 ≤ 1 ms is out of reach" in text


def test_prices_stand_with_their_source_and_date():
    text = shown(fleet())
    assert "l4-spot 1 × L4 spot $0.30 2026-11-02 stated" in text


def test_hostile_names_stay_text():
    asked = fleet()
    workloads = tuple(one.model_copy(update={"key": f"{EVIL}/{place}"}) for place, one in enumerate(asked.workloads))
    pools = tuple(one.model_copy(update={"name": one.name}) for one in asked.pools)
    evil = asked.model_copy(update={"workloads": workloads, "pools": pools})
    text = page(plan(evil), evil, ())
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\u202e" not in text
    assert "script" not in Outline(text).tags


def test_names_that_would_be_formulas_are_drawn_as_they_are():
    from berth_operator.cli.report.pictures import pictures

    asked = fleet()
    named = asked.model_copy(
        update={
            "workloads": tuple(
                one.model_copy(update={"key": f"$x$_{{{EVIL}/{place}"}) for place, one in enumerate(asked.workloads)
            )
        }
    )
    for picture in pictures(plan(named), named):
        assert "<script" not in picture.svg
        assert "\u202e" not in picture.svg


def test_an_empty_plan_is_a_page_too():
    asked = snapshot([], [])
    assert "None is known." in shown(asked)
