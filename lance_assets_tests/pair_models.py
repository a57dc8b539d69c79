"""Tiny CLIP and SigLIP models with random weights: the real architectures, processors and files, made in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIDE = 32
TOKENS = 16
TEXTS = ["a red square on a white wall", "two blue circles", "the player stands on grass", "一只猫坐在沙发上"]


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Writes model, tokenizer and processor into `folder` and returns it. One seed gives the same files."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    tokenizer = _tokenizer()
    config = CLIPConfig(**_shape(tokenizer), projection_dim=24)
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return _written(folder, CLIPModel, config, CLIPProcessor(image_processor=images, tokenizer=tokenizer), seed)


def tiny_siglip(folder: Path, seed: int = 0) -> Path:
    """As tiny_clip, with a sigmoid over a scaled and shifted cosine."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    tokenizer = _tokenizer()
    config = SiglipConfig(**_shape(tokenizer))
    images = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    return _written(folder, SiglipModel, config, SiglipProcessor(image_processor=images, tokenizer=tokenizer), seed)


def _written(folder: Path, kind: Any, config: Any, processor: Any, seed: int) -> Path:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config)
        for weights in model.parameters():  # far enough from zero for pairs to differ
            torch.nn.init.normal_(weights, std=0.2)
        torch.nn.init.constant_(model.logit_scale, 1.0)
        if hasattr(model, "logit_bias"):
            torch.nn.init.constant_(model.logit_bias, -0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _shape(tokenizer: Any) -> dict[str, Any]:
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**common, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": TOKENS}
    return {"text_config": text, "vision_config": {**common, "image_size": SIDE, "patch_size": 8}}


def _tokenizer() -> Any:
    """Byte-level BPE that puts <s> and </s> around a text, so that a text cut at the full length still ends."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    specials = ["<pad>", "<s>", "</s>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False),
    )
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(token, bpe.token_to_id(token)) for token in ("<s>", "</s>")]
    )
    named = dict(zip(("pad_token", "bos_token", "eos_token"), specials, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **named)
