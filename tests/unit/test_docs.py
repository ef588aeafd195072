"""The documentation is true: links lead somewhere, pages are current, examples load, commands say what is shown."""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
import yaml

import api_cases
from berth_operator.api.conditions import NEEDS_A_PERSON, ConditionType, Reason
from berth_operator.api.reference import PAGES, docstrings_of
from berth_operator.api.v1alpha1 import parse_pool, parse_workload
from berth_operator.catalogues import Catalogues
from berth_operator.cli import run
from berth_operator.cli.application import app
from berth_operator.metrics import Metrics
from berth_operator.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ROOMS = ("docs", "examples", "helm", "tests", "benchmarks")
PROSE = sorted([*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))])
RUNBOOKS = DOCS / "runbooks"

FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


# --- links -------------------------------------------------------------------------------------------------------


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of every relative link outside code."""
    for target in LINK.findall(re.sub(r"`[^`\n]+`\|?", "code", FENCE.sub("", text_of(page)))):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PROSE, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{named(page)}: {target} is not there"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{named(page)}: {named(target)} has no heading #{anchor}"


def test_every_page_is_reached_from_the_table_of_contents() -> None:
    seen: set[Path] = set()
    waiting = [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            waiting += [target for target, _ in links(page) if target.suffix == ".md" and target.exists()]
    assert not [named(page) for page in DOCS.rglob("*.md") if page not in seen]


# --- what pages must not, and may, mention ----------------------------------------------------------------------


@pytest.mark.parametrize("page", PROSE, ids=named)
def test_no_page_names_a_place_on_somebody_s_machine(page: Path) -> None:
    places = r"/root/|/home/|/Users/|/work/|/tmp/[a-z]|file:///"
    assert not re.findall(places, text_of(page))


@pytest.mark.parametrize("page", PROSE, ids=named)
def test_no_page_names_a_package_registry(page: Path) -> None:
    assert not re.findall(r"pypi\.|pythonhosted|npmjs|proxy\.golang|index-url", text_of(page))


@pytest.mark.parametrize("page", PROSE, ids=named)
def test_only_verbs_of_make_that_exist_are_mentioned(page: Path) -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*## ", text_of(ROOT / "Makefile"), re.MULTILINE))
    mentioned = re.findall(r"(?:`|^\$? ?|\()make (?:-s )?([a-z-]+)", text_of(page), re.MULTILINE)
    assert set(mentioned) <= verbs, named(page)


LOADED = {name: command.loaded for name, command in typer.main.get_command(app).commands.items()}  # type: ignore[attr-defined]
GROUPS = {name: command.commands for name, command in LOADED.items() if hasattr(command, "commands")}
COMMANDS = set(LOADED) - set(GROUPS) | {f"{name} {command}" for name, group in GROUPS.items() for command in group}
IN_CODE = re.compile(r"(?:`|^(?:\$ )?|\| )(?:kubectl )?berth ([^`\n]*)", re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PROSE if page.name != "CHANGELOG.md"], ids=named)
def test_only_commands_and_options_of_berth_that_exist_are_mentioned(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for said in IN_CODE.findall(text_of(page)):
        name, *words = re.split("[#|]", said)[0].split() or [""]
        if not re.fullmatch("[a-z]+", name):
            continue
        if name in GROUPS and words:
            name = f"{name} {words.pop(0)}"
        elif name in GROUPS:
            continue
        assert name in COMMANDS, f"{named(page)}: berth {said}"
        run([*name.split(), "--help"])
        known = capsys.readouterr().out
        for word in words:
            if found := re.match(r"(--[a-z-]+|-[a-zA-Z])$", word):
                assert found[0] in known, f"{named(page)}: berth {name} has no option {word}"


# --- shown output -----------------------------------------------------------------------------------------------


def transcripts() -> Iterator[tuple[str, str]]:
    """Command and expected stdout of every block after ``<!-- tested -->``."""
    for page in PROSE:
        for block in re.findall(r"<!-- tested -->\n```\n\$ berth (.*?)\n```", text_of(page), re.DOTALL):
            command, _, expected = block.partition("\n")
            yield command, expected


@pytest.mark.parametrize(("command", "expected"), list(transcripts()))
def test_commands_say_what_pages_show(
    command: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    # Prices grow old, and output says so: the pages show what was said on the day they were written.
    monkeypatch.setattr("berth_operator.cli.sources.now", lambda: datetime(2026, 11, 21, tzinfo=UTC))
    run(shlex.split(command))
    assert capsys.readouterr().out.rstrip() == expected.rstrip()


def test_there_is_output_to_compare() -> None:
    assert len(list(transcripts())) >= 2


# --- pages made from the code, and pages beside it --------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_current(name: str) -> None:
    assert text_of(DOCS / "reference" / name) == PAGES[name](), (
        f"run: python -m berth_operator.api.reference --to docs/reference/{name}"
    )


def yaml_blocks() -> list[tuple[str, str]]:
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        for indent, block in re.findall(r"^( *)```yaml\n(.*?)^ *```", text_of(page), re.DOTALL | re.MULTILINE):
            found.append((named(page), re.sub(f"^{indent}", "", block, flags=re.MULTILINE)))
    return found


@pytest.mark.parametrize(("page", "block"), yaml_blocks())
def test_every_yaml_block_is_read_by_what_it_is_for(page: str, block: str, tmp_path: Path) -> None:
    document = yaml.safe_load(block)
    if document.get("kind") == "GPUPool":
        parse_pool(document, strict=True)
    elif document.get("kind") == "InferenceWorkload":
        parse_workload(document, strict=True)
    elif "apiVersion" in document:
        assert document["kind"] in {"ConfigMap", "Kustomization"}, f"{page}: nobody reads this {document['kind']}"
    elif "scrape_configs" in document:
        assert page == "docs/how-to/prometheus.md", (
            f"{page}: no Prometheus reads this"
        )  # tests/cluster/test_prometheus.py
    elif "sources" in document:
        kind = next(each for each in ("gpus", "models", "prices") if each in document)
        Catalogues.built_in().merged(**{kind: {page: document}})
    elif set(document) & {field.alias for field in Settings.model_fields.values()}:
        (tmp_path / "settings.yaml").write_text(block)
        Settings.load(tmp_path / "settings.yaml")
    elif "autoscaling" in document["spec"]:
        (least,) = (case.manifest for case in api_cases.accepted() if case.name == "the least that can be said")
        parse_workload(api_cases.merge_patch(least, document), strict=True)
    else:
        assert "ignoreDifferences" in document["spec"], f"{page}: nobody reads {sorted(document)}"


def test_the_example_of_each_catalogue_loads() -> None:
    examples = dict(
        re.findall(
            r"<!-- tested: (\w+) -->\n```yaml\n(.*?)```", text_of(DOCS / "reference" / "catalogues.md"), re.DOTALL
        )
    )
    assert set(examples) == {"gpus", "models", "prices"}
    documents = {kind: {"catalogues.md": yaml.safe_load(text)} for kind, text in examples.items()}
    merged = Catalogues.built_in().merged(**documents)
    assert "ACME-X1" in merged.gpus.names()
    assert {"house-7b", "defects"} <= set(merged.models.names())
    price = merged.prices.lookup(cloud="example", region="north-1", instance_type="x1.large", capacity_type="Spot")
    assert str(getattr(price, "usd_per_node_hour", price)) == "0.22"


def test_every_metric_is_documented_with_its_labels_and_no_other() -> None:
    page = text_of(DOCS / "reference" / "metrics.md")
    shown = set(re.findall(r"^\| (`berthmaster_\w+` \| \w+ \| [^|]*\| [^|]*) \|$", page, re.MULTILINE))
    expected = set()
    for metric in Metrics().registry.collect():
        if metric.name.startswith("berthmaster_"):
            name = metric.name + ("_total" if metric.type == "counter" else "")
            collector = Metrics().registry._names_to_collectors[name]  # the library has no public way to ask
            labels = ", ".join(f"`{label}`" for label in collector._labelnames)
            expected.add(f"`{name}` | {metric.type} | {labels}{' ' if labels else ''}| {metric.documentation}")
    assert shown == expected


CONDITIONS = text_of(DOCS / "reference" / "conditions.md")


@pytest.mark.parametrize("kind", ConditionType)
def test_every_condition_type_is_documented_in_the_words_of_the_code(kind: ConditionType) -> None:
    assert f"| `{kind}` | {docstrings_of(ConditionType)[kind.name]} |" in CONDITIONS


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_documented_and_says_whether_a_person_is_needed(reason: Reason) -> None:
    rows = re.findall(rf"^\| `{reason}` \| (.*?) \| (.*?)\| (.*?)\|$", CONDITIONS, re.MULTILINE)
    assert rows, f"{reason} is not in conditions.md"
    for means, then, what_to_do in rows:
        assert means == docstrings_of(Reason)[reason.name]
        assert (then.strip() == "**Stalled**") == (reason in NEEDS_A_PERSON)
        if reason in NEEDS_A_PERSON:
            assert "../runbooks/" in what_to_do


@pytest.mark.parametrize("reason", sorted(NEEDS_A_PERSON))
def test_every_reason_that_needs_a_person_has_a_runbook(reason: Reason) -> None:
    assert reason in {text_of(page).partition("\n")[0].removeprefix("# ") for page in RUNBOOKS.glob("*.md")}


@pytest.mark.parametrize("page", sorted(set(RUNBOOKS.glob("*.md")) - {RUNBOOKS / "README.md"}), ids=named)
def test_a_runbook_has_symptom_meaning_commands_and_cure(page: Path) -> None:
    text = text_of(page)
    reason = text.partition("\n")[0].removeprefix("# ")
    assert reason in set(Reason)
    assert f"`{reason}`" in text
    parts = [text.index(f"**{part}.**") for part in ("Symptom", "Meaning", "Commands", "Cure")]
    assert parts == sorted(parts)
    assert f"[{reason}]({page.name})" in text_of(RUNBOOKS / "README.md")
