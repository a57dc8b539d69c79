"""A CLIP or SigLIP model in memory. The only module of this room that imports torch, and only when it loads one."""

from __future__ import annotations

from typing import Any

from PIL import Image

from lance_assets.errors import BadInput
from lance_assets.scoring.decoding import SHARED_SIZE


class ClipModel:
    """`source` is a folder or a hub id at a revision. Raises BadInput where it does not load, or compares no pictures
    with texts."""

    def __init__(self, source: str, revision: str | None, device: str) -> None:
        import torch
        from transformers import AutoModel, AutoProcessor

        local = revision is None
        common: dict[str, Any] = {"revision": revision, "local_files_only": local, "trust_remote_code": False}
        if local:
            del common["revision"]
        try:
            self._processor: Any = AutoProcessor.from_pretrained(source, **common)
            model: Any = AutoModel.from_pretrained(source, use_safetensors=True, dtype=torch.float32, **common)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{source} is not a model that loads: {str(error).strip().splitlines()[0]}") from error
        if not hasattr(model, "logit_scale") or not hasattr(model.config, "text_config"):
            raise BadInput(f"{source} is a model of the type {model.config.model_type}, neither CLIP nor SigLIP")
        self._device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self._model: Any = model.to(self._device).eval()
        self._tokens: int = model.config.text_config.max_position_embeddings
        side = getattr(model.config.vision_config, "image_size", None) or SHARED_SIZE // 2
        self.picture_size: int = max(SHARED_SIZE, 2 * side)
        """Pixels of the longer side at which a picture is decoded: the processor then shrinks it, and never enlarges an
        ordinary one."""

    def agreement(self, pictures: list[Image.Image], captions: list[str]) -> list[float]:
        """0..100 for each picture with its caption."""
        import torch

        # always padded to the full length: SigLIP was trained so, and a score must not depend on its batch
        text = {"padding": "max_length", "truncation": True, "max_length": self._tokens}
        inputs = self._processor(images=pictures, text=captions, return_tensors="pt", **text).to(self._device)
        bias = getattr(self._model, "logit_bias", None)
        if bias is not None:
            inputs.pop("attention_mask", None)  # SigLIP was trained with the padding in sight
        with torch.inference_mode():
            out = self._model(**inputs)
            cosines = (out.image_embeds * out.text_embeds).sum(dim=-1)
            if bias is None:
                scores = cosines.clamp(min=0)
            else:
                scores = torch.sigmoid(cosines * self._model.logit_scale.exp() + bias)
        # rounded: the last bits depend on the machine and on the batch, a label should not
        return [round(100 * score, 4) for score in scores.double().cpu().tolist()]
