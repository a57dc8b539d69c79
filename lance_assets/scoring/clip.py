"""Image-text agreement by a CLIP or SigLIP model of your own choice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import Field, ValidationInfo, field_validator

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.scoring.api import Item, ScoreFailure, Scorer, ScorerConfig, Served, State
from lance_assets.scoring.clip_model import ClipModel
from lance_assets.scoring.known import register
from lance_assets.scoring.model_files import folder_digest
from lance_assets.scoring.outcome import failure_of

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ClipConfig(ScorerConfig):
    operational = frozenset({"device", "batch_rows"})

    model: str = Field(
        description="folder of a CLIP or SigLIP model (absolute path or ~/...), or its hub id owner/name"
    )
    revision: str | None = Field(
        None,
        pattern="^[0-9a-f]{40}$",
        validate_default=True,
        description="of a hub id: the commit, 40 hex digits, since a branch can move and change scores",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto = a GPU where there is one")
    batch_rows: int = Field(32, ge=1, le=4096, description="pairs in the model at a time")
    model_digest: str | None = Field(
        None, description="of a folder's files (model_files.py): found by itself; one that is given pins the model"
    )

    @field_validator("model")
    @classmethod
    def _named(cls, model: str) -> str:
        path = Path(model).expanduser()
        if path.is_absolute():
            return str(path)
        if not HUB_ID.fullmatch(model):
            raise ValueError(f"{model!r} is neither an absolute path nor a hub id owner/name")
        return model

    @field_validator("revision")
    @classmethod
    def _pinned(cls, revision: str | None, info: ValidationInfo) -> str | None:
        hub_id = not Path(info.data.get("model", "/")).is_absolute()
        if hub_id and revision is None:
            raise ValueError("a hub id needs the commit of its repository, 40 hex digits, since a branch can move")
        if revision is not None and not hub_id:
            raise ValueError("a folder has no revision")
        return revision

    @property
    def folder(self) -> Path | None:
        """Where the model lies; None for a hub id."""
        path = Path(self.model)
        return path if path.is_absolute() else None

    def hashed(self) -> dict[str, Any]:
        said = super().hashed()
        if self.model_digest is not None:
            del said["model"]  # the same files elsewhere score alike
        return said


@register
class Clip(Scorer):
    """How well a caption describes its picture, by a model that was trained on pairs from the web.

    CLIP (Radford et al., ICML 2021): 100 * max(cosine of the two embeddings, 0); CLIPScore (Hessel et al., EMNLP 2021)
    is 2.5 times this. For ViT-B/32 matching pairs are about 25 to 35, others 10 to 20; LAION-5B kept pairs from 28 on.
    SigLIP (Zhai et al., ICCV 2023): 100 * sigmoid(scale * cosine + bias), a probability in percent; small ones are
    common for true but unusual captions. Compare values of one model only. A caption is cut at the length that the
    model was trained with (77 or 64 tokens).

    The files of a local model are part of the config hash: put another model into the folder, and its cells are stale
    once the definitions are loaded again. Only safetensors are loaded, never code from the hub. CPU: 440 ms a pair for
    ViT-B/32.
    """

    name = "clip"
    version = "1"
    fields = ("image", "messages", "caption_missing")
    description = "Agreement of caption and picture by a CLIP or SigLIP model; compare values of one model only"
    unit = "0..100 = 100 x cosine (CLIP) or probability in percent (SigLIP), higher is better"
    served = Served(batch_rows=32)
    Config = ClipConfig
    config: ClipConfig

    def __init__(self, config: ScorerConfig | None = None) -> None:
        super().__init__(config)
        self._model: ClipModel | None = None
        folder = self.config.folder
        if folder is None or self.config.model_digest is not None:
            return
        with suppress(BadInput):  # definitions load without the model; `check` says so before any row
            self.config = self.config.model_copy(update={"model_digest": folder_digest(folder)})

    def check(self, models: Path) -> None:
        for package in ("torch", "transformers"):
            if find_spec(package) is None:
                raise MissingExtra(package, "train", f"the scorer {self.name}")
        folder = self.config.folder
        if folder is None:
            return
        if not (folder / "config.json").is_file():
            raise BadInput(f"the scorer {self.name} needs a model: there is no {folder / 'config.json'}")
        wanted = self.config.model_digest or "none"
        if (found := folder_digest(folder)) != wanted:
            raise BadInput(
                f"{folder} holds another model ({found[:12]}) than the scorer {self.name} is configured for "
                f"({wanted[:12]}): load the definitions again, or correct model_digest"
            )

    def load(self, models: Path) -> None:
        self.check(models)
        self._model = ClipModel(self.config.model, self.config.revision, self.config.device)

    def score(self, items: Sequence[Item]) -> list[float | ScoreFailure]:
        outcomes: list[float | ScoreFailure] = []
        every = list(items)
        for start in range(0, len(every), self.config.batch_rows):
            outcomes += self._scored(every[start : start + self.config.batch_rows])
        return outcomes

    def _scored(self, items: Sequence[Item]) -> list[float | ScoreFailure]:
        if self._model is None:
            self.load(Path())
        model: Any = self._model
        pairs = [_pair(item, model.picture_size) for item in items]
        good = [pair for pair in pairs if not isinstance(pair, ScoreFailure)]
        scores = iter(model.agreement(*map(list, zip(*good, strict=True))) if good else ())
        return [pair if isinstance(pair, ScoreFailure) else next(scores) for pair in pairs]


def _pair(item: Item, size: int) -> tuple[Image.Image, str] | ScoreFailure:
    """What the model gets of a row, or why it gets nothing: such a row fails alone."""
    caption = item.caption.strip()
    if item.caption_missing or not caption:
        return ScoreFailure(State.FAILED_PERMANENT, "the row has no caption")
    try:
        return item.picture(size), caption
    except Exception as error:
        return failure_of(error)
