"""Checks of a score column: enough rows have a score, scores lie where they should, and a new version of the scorer
moved them no further than allowed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import numpy as np

from lance_assets.assets.common import BATCHES, PlatformParam, data_root
from lance_assets.assets.scores import score_key
from lance_assets.checks.finding import Finding, batches_of, evaluation
from lance_assets.compute.drift import drift_limits
from lance_assets.compute.preview import batch_values, moves_sheet
from lance_assets.compute.registry import asked_scorers
from lance_assets.preview.comparison import comparison_markdown
from lance_assets.scoring.api import Scorer, State
from lance_assets.settings import Platform
from lance_assets.store.columns import column_of, is_number
from lance_assets.store.comparison import named_in
from lance_assets.store.failures import failures
from lance_assets.store.files import DataRoot
from lance_assets.store.moved import Report
from lance_assets.store.trials import comparable, judge

COVERAGE, RANGE, DRIFT = "coverage", "range", "drift"
SAID = {
    COVERAGE: "Enough of the rows that were tried have a score; the others are counted by reason.",
    RANGE: "Scores lie within what the scorer says it gives.",
    DRIFT: "Labels that another version or config of the scorer replaced moved no further than checks.drift allows. "
    "It fails until somebody promotes the new labels or they are replaced; meanwhile sft_dataset refuses them if its "
    "filter names the column.",
}


def checks_of(scorer: Scorer) -> list[dg.AssetCheckSpec]:
    """Only what makes sense for the type of its values."""
    names = [COVERAGE]
    if not scorer.across:
        names += [RANGE] if is_number(scorer.type) and scorer.bounds else []
        names += [DRIFT] if comparable(scorer.type) else []
    return [
        dg.AssetCheckSpec(
            name,
            asset=score_key(scorer.name),
            partitions_def=BATCHES,
            description=SAID[name],
            blocking=name == DRIFT,
        )
        for name in names
    ]


def score_checks(name: str, scorers: Mapping[str, Scorer]) -> dg.AssetChecksDefinition:
    """The checks of columns that one op makes, as one op."""
    specs = [spec for scorer in scorers.values() for spec in checks_of(scorer)]
    owners = {spec.key: scorer.name for scorer in scorers.values() for spec in checks_of(scorer)}

    @dg.multi_asset_check(name=f"{name}_checks", specs=specs, can_subset=True)
    def body(context: dg.AssetCheckExecutionContext, platform: PlatformParam) -> Iterable[Any]:
        chosen = [spec for spec in specs if spec.key in context.selected_asset_check_keys]
        now = asked_scorers(platform, {owners[spec.key] for spec in chosen})
        for spec in specs:
            if spec in chosen:
                column = Column(platform, now[owners[spec.key]])
                look: Mapping[str, Callable[[str], Finding]] = {
                    COVERAGE: column.coverage,
                    RANGE: column.range,
                    DRIFT: column.drift,
                }
                for batch in batches_of(context):
                    yield evaluation(spec.key, look[spec.name](batch), batch)
                yield dg.Output(None, output_name=spec.get_python_identifier())

    return body


@dataclass(frozen=True)
class Column:
    """A score column as its scorer is configured now."""

    platform: Platform
    scorer: Scorer

    @property
    def root(self) -> DataRoot:
        return data_root(self.platform)

    @property
    def name(self) -> str:
        return column_of(self.scorer.name)

    def coverage(self, batch: str) -> Finding:
        _, states = batch_values(self.root, batch, self.scorer.name)
        counts = Counter(State(state).name.lower() for state in states if state is not None)
        tried, ok, untried = sum(counts.values()), counts["ok"], states.count(None)
        share = ok / tried if tried else 0.0
        text = f"{ok} of {tried} rows tried have a score ({share:.1%})"
        text += f", {untried} were never tried" if untried else ""
        for state, (count, message) in _failures(self.root, self.name, batch).items() if ok < tried else ():
            text += f"; {count} {state.replace('_', ' ')}, the first: {message}"
        numbers = {"share_ok": round(share, 4), "never_tried": untried, **counts}
        return Finding(bool(tried) and share >= self.platform.config().checks.coverage, text, numbers, severe=False)

    def range(self, batch: str) -> Finding:
        values, _ = batch_values(self.root, batch, self.scorer.name)
        numbers = values.drop_null().to_numpy().astype(np.float64)
        low, high = self.scorer.bounds or (-np.inf, np.inf)
        beyond = int(((numbers < low) | (numbers > high)).sum())
        if not len(numbers):
            return Finding(True, "there are no scores", severe=False)
        told = {"smallest": round(float(numbers.min()), 4), "largest": round(float(numbers.max()), 4), "beyond": beyond}
        text = f"{len(numbers) - beyond} of {len(numbers)} scores lie within {low:g}..{high:g} ({self.scorer.unit})"
        return Finding(not beyond, text, told, severe=False)

    def drift(self, batch: str) -> Finding:
        return self.drifted(judge(self.root, self.name, batch, drift_limits(self.platform)))

    def drifted(self, report: Report | None) -> Finding:
        if report is None:
            return Finding(True, "nothing to compare: no version of the scorer replaced another one here")
        used = bool(named_in(self.platform.config().sft.filter, [self.name]))
        promotion = report.get("promotion")
        return Finding(report["passed"] or promotion is not None, drift_text(report, used), _shown(self, report), used)


def drift_text(report: Report, used: bool) -> str:
    """A report in one sentence."""
    before, after = (", ".join(map(_maker, report[when])) for when in ("before", "after"))
    made = f"{report['rows']} rows went from {before} to {after}"
    if promotion := report.get("promotion"):
        return f"{made}; accepted by {promotion['by']} on {promotion['time']}: {promotion['reason']}"
    if report["passed"]:
        return f"{made} and moved little"
    blocked = "; sft_dataset does not use them until they are promoted or replaced" if used else ""
    return f"{made}: {'; '.join(report['why'])}{blocked}"


def _maker(text: str) -> str:
    """`2 9409d95ce9490182` in words."""
    version, _, config = text.rpartition(" ")
    return f"version {version} (config {config[:8]})"


def _shown(column: Column, report: Report) -> dict[str, Any]:
    numbers = {name: value for name, value in report.items() if isinstance(value, int | float) and name != "passed"}
    moves = moves_sheet(column.root, report["batch"], report["moves"])
    return {
        **numbers,
        "comparison": dg.MetadataValue.md(comparison_markdown(report)),
        **({"largest_moves": dg.MetadataValue.md(moves)} if report["moves"] else {}),
    }


def _failures(root: DataRoot, column: str, batch: str) -> dict[str, tuple[int, str]]:
    """How many rows failed in which state, and the first message."""
    found: dict[str, tuple[int, str]] = {}
    for row in failures(root, column, [batch]).to_pylist():
        state = State(row["state"]).name.lower()
        count, message = found.get(state, (0, ""))
        found[state] = count + 1, message or row["message"] or ""
    return found
