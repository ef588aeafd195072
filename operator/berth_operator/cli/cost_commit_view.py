"""A study of commitments as a page, and as Markdown."""

from berth_cost.spending.commitment_study import CommitmentStudy, JudgedPolicy
from berth_operator.cli.output import Column, Page, cell
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.wording import dollars, number, plural

HEADERS = ("POLICY", "RESERVED", "COST/H", "OVER HINDSIGHT", "BELOW STATIC PEAK", "")
COLUMNS = (Column(HEADERS[0]), *(Column(header, right=True) for header in HEADERS[1:5]), Column("", least=20))
WHAT = {
    "static-peak": "the peak, always, on demand",
    "on-demand": "as needed, on demand",
    "spot": "as needed, spot first",
    "newsvendor": "forecast's quantile, no spot",
    "two-stage": "program over forecasts",
    "hindsight": "the best there was",
}


def headline(study: CommitmentStudy) -> str:
    """``Reserve 23 replicas (6 nodes) of aws/us-east-1/g6e.12xlarge, OneYear: $41.24/h expected, $30,105/month.``"""
    said = study.advice
    if not said.replicas:
        return (
            f"Reserve nothing of {study.node}, {said.term}: {dollars(said.usd_per_hour)}/h expected,"
            f" {dollars(said.usd_per_month)}/month."
        )
    return (
        f"Reserve {plural(said.replicas, 'replica')} ({plural(said.nodes, 'node')}) of {study.node}, {said.term}:"
        f" {dollars(said.usd_per_hour)}/h expected for all replicas, {dollars(said.usd_per_month)}/month."
    )


def remarks(study: CommitmentStudy) -> list[str]:
    """What the figures rest on."""
    prices = "; ".join(f"{one.bought} {dollars(one.usd_per_replica_hour)} ({one.source})" for one in study.prices)
    return [
        f"Demand takes {number(study.mean_replicas)} replicas on average and {study.peak_replicas:,} at most, each"
        f" {number(study.requests_per_second_per_replica)} requests/s on {number(study.gpus_per_replica)} GPU. At most"
        f" {number(study.maximum_spot_share_percent)} % on spot. Without spot a quantile would be"
        f" {study.advice.newsvendor:,}.",
        f"Below, {number(study.known_days)} days are known and the next {number(study.judged_days)} are paid for; the"
        f" advice above is from all of them, and assumes that they go on like this for the whole term.",
        f"USD per replica-hour: {prices}. Spot is priced with its interruptions.",
    ]


def show_commitment(page: Page, study: CommitmentStudy) -> None:
    page.sentence(headline(study), "bold")
    page.gap()
    page.table(
        COLUMNS,
        [[cell(text, "bold" if one.name == "two-stage" else "") for text in _cells(one)] for one in study.policies],
    )
    page.gap()
    for sentence in remarks(study):
        page.sentence(sentence)


def commitment_markdown(study: CommitmentStudy) -> str:
    lines = [f"**{headline(study)}**", "", markdown_row(*(header.lower() for header in HEADERS))]
    lines += ["| --- | --: | --: | --: | --: | --- |", *(markdown_row(*_cells(one)) for one in study.policies)]
    return "\n".join([*lines, "", *remarks(study)]) + "\n"


def _cells(one: JudgedPolicy) -> list[str]:
    return [
        one.name,
        f"{one.reserved:,}" if one.name in ("newsvendor", "two-stage", "hindsight") else "",
        f"${one.usd_per_hour:,.2f}",
        f"{one.over_hindsight_percent:+.1f} %",
        f"{one.below_static_peak_percent:.1f} %",
        WHAT[one.name],
    ]
