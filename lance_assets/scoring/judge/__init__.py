"""A vision-language model as judge: paid by the token, so limits, budget and journal come before speed."""

from lance_assets.scoring.judge.config import Budget, JudgeConfig, Prices
from lance_assets.scoring.judge.report import Reason, Usage, reasons, usage
from lance_assets.scoring.judge.scorer import Judge

__all__ = ["Budget", "Judge", "JudgeConfig", "Prices", "Reason", "Usage", "reasons", "usage"]
