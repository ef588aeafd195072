"""An explanation as a page: the answer first, then why, then what to do next."""

from berth_operator.cli.output import Column, Page, cell, unbroken
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.explain import ComparedWith, Explanation, ObjectiveLine
from berth_scheduler.savings.comparison import NOTHING_RUNS
from berth_scheduler.savings.saving import Baseline
from berth_scheduler.snapshot import Workload
from berth_scheduler.wording import plural

OBJECTIVE = (Column("Objective"), Column("asked"), Column("predicted (90 % band)"), Column("evidence", least=12))
LABEL = 22
FEW = 4
"""Rejected groups that are shown without ``--all``."""
FEW_RUNNERS_UP = 2
LABELS = {Baseline.RUNNING: "Against what runs", Baseline.CONVENTIONAL: "Against the usual"}


def show_explanation(page: Page, explanation: Explanation, workload: Workload, *, everything: bool, again: str) -> None:
    """``again`` is the command that shows everything."""
    page.sentence(explanation.headline, "bold" if explanation.placed else "bold red")
    if explanation.because:
        page.gap()
        page.sentence(explanation.because[:1].upper() + explanation.because[1:] + _stop(explanation.because))
    if explanation.objectives:
        page.gap()
        _show_objectives(page, explanation)
    if explanation.where_the_time_goes:
        page.gap()
        _labelled(
            page, "Where the time goes", [" · ".join(unbroken(one.text) for one in explanation.where_the_time_goes)]
        )
    if explanation.bound_by:
        _labelled(page, "", [_unbroken_shares(explanation.bound_by)])
    if explanation.energy:
        _labelled(page, "Energy of the GPUs", [explanation.energy])
    _show_savings(page, explanation)
    runners_up = explanation.runners_up if everything else explanation.runners_up[:FEW_RUNNERS_UP]
    reasons = [one for one in explanation.why_not if one != explanation.because]
    why_not = list(reasons if everything else reasons[:FEW])
    hidden = len(reasons) - len(why_not)
    if hidden:
        why_not.append(f"… {hidden} more: {again} --all")
    if runners_up or why_not:
        page.gap()
    _labelled(page, "Runner-up" if len(runners_up) == 1 else "Runners-up", list(runners_up))
    _labelled(page, "Why not", why_not)
    if explanation.nearest_that_would_do:
        page.gap()
        page.sentence("Nearest that would do")
        rows = [(cell(f"  {one.change}"), cell(one.result)) for one in explanation.nearest_that_would_do]
        page.table((Column(""), Column("", least=20)), rows)
    if workload.remarks or explanation.closing:
        page.gap()
    for remark in workload.remarks:
        page.sentence(remark.message, "yellow")
    if explanation.closing:
        page.sentence(explanation.closing)


def _show_savings(page: Page, explanation: Explanation) -> None:
    """Each baseline that says something: that nothing runs yet, or that what runs stays, is no news."""
    told = [one for one in explanation.compared_with if one.baseline is not Baseline.RUNNING or _is_news(one)]
    if told:
        page.gap()
    for one in told:
        _labelled(page, LABELS[one.baseline], [one.text])


def _is_news(against: ComparedWith) -> bool:
    if against.saved_usd_per_hour is None:
        return NOTHING_RUNS.unknown is not None and not against.text.endswith(NOTHING_RUNS.unknown)
    return against.saved_usd_per_hour != 0


def _unbroken_shares(text: str) -> str:
    """Folded between shares, not inside one."""
    what, _, shares = text.partition(": ")
    return f"{unbroken(what)}: {', '.join(unbroken(share) for share in shares.split(', '))}"


def _stop(sentence: str) -> str:
    return "" if sentence.endswith((".", "…")) else "."


def _show_objectives(page: Page, explanation: Explanation) -> None:
    """Without a prediction only what was asked: two columns of dashes would say nothing."""
    if not any(one.predicted for one in explanation.objectives):
        page.table(OBJECTIVE[:2], [(cell(one.name), cell(one.asked)) for one in explanation.objectives])
        return
    rows = [
        (
            cell(one.name),
            cell(one.asked),
            cell(_predicted(one), "red" if one.holds is False else ""),
            cell(one.evidence or ""),
        )
        for one in explanation.objectives
    ]
    page.table(OBJECTIVE, rows)


def _predicted(line: ObjectiveLine) -> str:
    if line.predicted is None:
        return "–"
    return f"{line.predicted}  ({line.band})" if line.band else line.predicted


def _labelled(page: Page, label: str, texts: list[str]) -> None:
    for index, text in enumerate(texts):
        page.sentence(text, indent=" " * LABEL, first=(label if index == 0 else "").ljust(LABEL))


def explanation_markdown(explanation: Explanation) -> str:
    lines = [f"**{explanation.headline}**", ""]
    lines += [explanation.because, ""] if explanation.because else []
    if explanation.objectives:
        lines += ["| objective | asked | predicted (90 % band) | evidence |", "|---|---|---|---|"]
        lines += [
            markdown_row(one.name, one.asked, _predicted(one), one.evidence or "") for one in explanation.objectives
        ]
        lines.append("")
    lines += [f"- energy of the GPUs: {explanation.energy}"] if explanation.energy else []
    lines += [f"- against {one.name}: {one.text}" for one in explanation.compared_with]
    lines += [f"- would do: {one.change}: {one.result}" for one in explanation.nearest_that_would_do]
    lines += [f"- runner-up: {one}" for one in explanation.runners_up]
    lines += [f"- why not: {one}" for one in explanation.why_not[:FEW]]
    if len(explanation.why_not) > FEW:
        lines.append(f"- and {plural(len(explanation.why_not) - FEW, 'other candidate')}")
    return "\n".join(lines).rstrip() + "\n"
