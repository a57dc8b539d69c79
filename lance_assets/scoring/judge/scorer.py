"""The scorer `judge`: a vision-language model behind an OpenAI-compatible endpoint says how well a caption fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from lance_assets.errors import BadInput
from lance_assets.scoring.api import Item, Outcomes, ScoreFailure, Scorer, ScorerConfig, Served, State
from lance_assets.scoring.judge import report
from lance_assets.scoring.judge.client import Endpoint, check_settings
from lance_assets.scoring.judge.config import JudgeConfig
from lance_assets.scoring.judge.journal import Journal
from lance_assets.scoring.judge.panel import Panel
from lance_assets.scoring.judge.prompt import PROMPT_VERSION
from lance_assets.scoring.known import register


@register
class Judge(Scorer):
    """Sends each picture (base64, never its address) with its caption and takes a score and a reason.

    One process holds limits, budget and journal, so there is one replica; it may be called from several threads. The
    column holds the score; the reason lies in the journal (`report.reasons`), which also makes a killed or repeated run
    pay for nothing twice. Cost: one paid request per row, and a second one for `canary_share` of them.
    """

    name = "judge"
    version = f"1.{PROMPT_VERSION}"
    fields: tuple[str, ...] = ("image", "messages", "caption_missing")
    description = "How well the caption fits the picture, judged by a vision-language model behind an endpoint"
    unit = "0..100 = points given by the model, higher is better"
    served: Served | None = Served(max_replicas=1, batch_rows=4096)
    remote: ClassVar[bool] = True
    Config = JudgeConfig
    config: JudgeConfig

    def __init__(self, config: ScorerConfig | None = None) -> None:
        super().__init__(config)
        self._panel: Panel | None = None
        self._open: tuple[Journal, Endpoint] | None = None
        if self.config.first is not None:
            self.hints = (self.config.first,)
            self.fields = (*type(self).fields, self.config.first)

    def __getstate__(self) -> dict[str, Any]:
        """Travels to a replica without its connections."""
        return {**self.__dict__, "_panel": None, "_open": None}

    def check(self, models: Path) -> None:
        """Raises BadInput without an endpoint, a model, the key in the environment, or the client (MissingExtra)."""
        if self.served is not None and self.served.max_replicas != 1:
            raise BadInput("the scorer judge has one replica: it is what holds the limits and the budget")
        check_settings(self.config)

    def load(self, models: Path) -> None:
        """Opens the journal. Raises what `check` does, and Unusable for a journal that cannot be written."""
        if self._panel is None:
            endpoint = Endpoint(self.config)
            journal = Journal(self._folder(models), self.version)
            self._open = journal, endpoint
            self._panel = Panel(self.config, self.version, endpoint, journal)

    def close(self) -> None:
        """Ends threads and connections; no call may be under way."""
        if self._panel is not None and self._open is not None:
            self._panel.close()
            for one in self._open:
                one.close()
        self._panel = self._open = None

    def score(self, items: Sequence[Item]) -> Outcomes:
        if self._panel is None:
            return [ScoreFailure(State.FAILED_TRANSIENT, "the judge is not loaded yet")] * len(items)
        return self._panel.judge(items)

    def usage(self, models: Path, since: float = 0.0) -> report.Usage:
        """Use and cost of this version and config, from `since` (Unix time, seconds) on."""
        return report.usage(models, self.config.config_hash(), self.version, since)

    def _folder(self, models: Path) -> Path:
        """By the config alone: which version made the columns that order the rows makes no answer worthless."""
        return report.folder_of(models, self.config.config_hash())
