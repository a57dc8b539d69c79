"""A checkpoint loaded again with transformers: prompts, teacher-forced loss, greedy answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.training.heldout import Example
from lance_assets.training.launch import ARGUMENTS_FILE
from lance_assets.training.merge import ADAPTER, MERGED
from lance_assets.training.pictures import sized

BATCH = 20
IGNORED = -100  # torch's cross entropy leaves such labels out
NEW_TOKENS = 90
#: Ends an answer in LLaMA-Factory's qwen2_vl template, newline included, so it is part of the training loss.
ANSWER_END = "<|im_end|>\n"


class Checkpoint:
    """Model and processor of a folder or hub id, in fp32 on CPU unless a GPU is there. Raises BadInput,
    MissingExtra."""

    def __init__(self, folder: Path, image_pixels: tuple[int, int] | None = None) -> None:
        try:
            import torch
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ImportError as error:
            raise MissingExtra("transformers", "train", "evaluation") from error
        folder = Path(fetched(str(folder)))
        if folder.exists() and not list(folder.glob("*.safetensors")):
            raise BadInput(f"{folder} holds no safetensors file, and other weight files are not loaded")
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.processor: Any = AutoProcessor.from_pretrained(str(folder), padding_side="left")
            base = base_of(folder)
            whole = fetched(base or str(folder))
            model: Any = AutoModelForImageTextToText.from_pretrained(whole, use_safetensors=True)
            if base is not None:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, str(folder))
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder} is not a checkpoint that loads: {str(error).splitlines()[0]}") from error
        self.model: Any = model.to(self.device).eval()
        self.image_pixels = image_pixels

    def losses(self, examples: list[Example], images: list[Any] | None = None) -> list[tuple[float, int]]:
        """Of each row the sum of the negative log-likelihoods (nats) of its answer tokens, and their number; with
        `images` in place of the rows' own."""
        import torch

        found: list[tuple[float, int]] = []
        shown = [example.image for example in examples] if images is None else images
        for start in range(0, len(examples), BATCH):
            inputs = self._inputs(examples[start : start + BATCH], shown[start : start + BATCH], with_answers=True)
            # answers stand at the end of every row, and a vocabulary has 150,000 entries: no logits of prompts, and
            # one row at a time in fp32
            longest = int((inputs["labels"] != IGNORED).sum(1).max())
            labels = inputs.pop("labels")[:, -longest:]
            with torch.inference_mode():
                logits = self.model(**inputs, logits_to_keep=longest + 1).logits[:, -longest - 1 : -1]
                for row, truth in zip(logits, labels, strict=True):
                    total = torch.nn.functional.cross_entropy(row.float(), truth, ignore_index=IGNORED, reduction="sum")
                    found.append((total.item(), int((truth != IGNORED).sum())))
        return found

    def answers(self, examples: list[Example], images: list[Any]) -> list[str]:
        """Greedy answers, at most NEW_TOKENS tokens each, to the rows' prompts with `images` in place of their own."""
        import torch

        texts: list[str] = []
        for start in range(0, len(examples), BATCH):
            inputs = self._inputs(examples[start : start + BATCH], images[start : start + BATCH])
            with torch.inference_mode():
                output = self.model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)
            new = output[:, inputs["input_ids"].shape[1] :]
            texts += [text.strip() for text in self.processor.batch_decode(new, skip_special_tokens=True)]
        return texts

    def answer(self, example: Example, new_tokens: int) -> tuple[str, int, int]:
        """The greedy answer to one prompt, tokens asked and tokens answered."""
        import torch

        inputs = self._inputs([example], [example.image])
        with torch.inference_mode():
            output = self.model.generate(**inputs, do_sample=False, max_new_tokens=new_tokens)
        asked = inputs["input_ids"].shape[1]
        return (
            self.processor.decode(output[0, asked:], skip_special_tokens=True).strip(),
            asked,
            output.shape[1] - asked,
        )

    def _inputs(self, examples: list[Example], images: list[Any], with_answers: bool = False) -> dict[str, Any]:
        """Model inputs, padded on the left; with answers also `labels` that are IGNORED outside of them.

        The answer is tokenized apart from the prompt, as LLaMA-Factory does.
        """
        import torch

        prompts = [self.processor.apply_chat_template(_parts(e.messages), add_generation_prompt=True) for e in examples]
        batch = self.processor(
            text=prompts, images=[self._sized(image) for image in images], padding=True, return_tensors="pt"
        )
        if not with_answers:
            return dict(batch.to(self.device))
        tokenizer = self.processor.tokenizer
        rows = [
            (ids[mask.bool()].tolist(), tokenizer(e.truth + ANSWER_END, add_special_tokens=False)["input_ids"])
            for ids, mask, e in zip(batch["input_ids"], batch["attention_mask"], examples, strict=True)
        ]
        width = max(len(prompt) + len(answer) for prompt, answer in rows)
        # each row: padding, prompt, answer
        fill = [width - len(prompt) - len(answer) for prompt, answer in rows]
        padded = zip(fill, rows, strict=True)
        batch["input_ids"] = torch.tensor([[tokenizer.pad_token_id] * n + p + a for n, (p, a) in padded])
        batch["attention_mask"] = torch.tensor([[0] * n + [1] * (width - n) for n in fill])
        batch["labels"] = torch.tensor([[IGNORED] * (width - len(a)) + a for _, a in rows])
        image_token = self.model.config.image_token_id
        if "mm_token_type_ids" in batch:
            batch["mm_token_type_ids"] = (batch["input_ids"] == image_token).int()
        return dict(batch.to(self.device))

    def _sized(self, image: Any) -> Any:
        return sized(image, *self.image_pixels) if self.image_pixels else image


def fetched(model: str) -> str:
    """The folder of a model; a hub id is downloaded from ModelScope where USE_MODELSCOPE_HUB is on, as LLaMA-Factory
    does (transformers knows Hugging Face alone, and gets the id otherwise)."""
    if Path(model).exists() or os.environ.get("USE_MODELSCOPE_HUB", "0").lower() not in ("true", "y", "1"):
        return model
    from modelscope import snapshot_download

    return snapshot_download(model, revision="master")


def base_of(folder: Path) -> str | None:
    """The model that an adapter was trained on; None for a folder that is no adapter."""
    config = folder / ADAPTER
    return json.loads(config.read_text())["base_model_name_or_path"] if config.exists() else None


def trained_pixels(tuned: Path) -> tuple[int, int]:
    """(min, max) pixels of an image in the training that made a checkpoint (of a merged one: its adapter beside it);
    LLaMA-Factory's defaults where unknown."""
    own = tuned / ARGUMENTS_FILE
    path = own if own.exists() or tuned.name != MERGED else tuned.with_name("model") / ARGUMENTS_FILE
    args = json.loads(path.read_text()) if path.exists() else {}
    return int(args.get("image_min_pixels", 32 * 32)), int(args.get("image_max_pixels", 768 * 768))


def _parts(messages: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Chat-template messages in which the text <image> has become an image part."""
    result = []
    for message in messages:
        texts = message["content"].split("<image>")
        parts: list[dict[str, str]] = [{"type": "text", "text": texts[0]}]
        for text in texts[1:]:
            parts += [{"type": "image"}, {"type": "text", "text": text}]
        kept = [part for part in parts if part["type"] == "image" or part["text"]]
        result.append({"role": message["role"], "content": kept})
    return result
