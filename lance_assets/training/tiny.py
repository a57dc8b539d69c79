"""A tiny Qwen2.5-VL with random weights: real architecture, real processor, small enough for two cores.

Made for game frames of 9 x 9 cells: at 144 x 144 pixels a cell has 16 (the size at which the game's sprites are drawn),
so 2 x 2 patches of 8, merged into one token, are exactly one cell, and an image costs 81 tokens. The vision tower looks
at 3 x 3 cells at a time and no further; what lies where is left to the text model, which can tell places apart (CELLS).
With windows of 4 x 4 cells and, in place of the fourth text layer, a third vision layer with the whole frame in view,
what the player faces was right on 72 % of unseen frames instead of 85 (one run of 700 steps each).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput, MissingExtra

VOCABULARY, POSITIONS = 600, 4_096
PIXELS = 144 * 144
PATCH = 8
#: Patches along a side of a token, and pixels of the tower's window: 3 x 3 cells.
MERGE, WINDOW = 2, 48
#: Radians by which one step in time, and one cell in height and in width, turn a head's pairs of dimensions.
#: Qwen2.5-VL cuts one falling series in three: at its theta of 1e6 the next column is at most 0.0002 away, too little
#: for a training of minutes. Qwen3-VL interleaves the three for that reason; here each axis has a series of its own.
TIME, CELLS = (1.0, 0.3, 0.1, 0.01), (1.2, 0.9, 0.65, 0.45, 0.3, 0.15)
#: Standard deviation of the random weights. Qwen's 0.02 is made for widths of thousands; at 128 a spread near
#: 1 / sqrt(width) reaches in 160 steps what 0.02 did not reach in 200 (measured).
SPREAD = 0.08
END, PAD = "<|im_end|>", "<|endoftext|>"
SPECIALS = [
    PAD,
    "<|im_start|>",
    END,
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
#: The words of every prompt: seen by the tokenizer as often as captions are, they cost about 15 tokens instead of 60.
SCAFFOLD = "system\nYou are a helpful assistant.\nuser\nDescribe this image.\nassistant\n"
#: Qwen2.5-VL's own template without tools and videos; the default system prompt is part of it.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tiny(folder: Path, captions: Iterable[str], seed: int = 0) -> Path:
    """Writes model, tokenizer (trained on `captions`) and processor into `folder`, and returns it.

    1.4 million parameters, fp32, safetensors. The same captions and seed give the same files. Raises BadInput without
    captions, MissingExtra without the extra `train`.
    """
    texts = [text for text in captions if text]
    if not texts:
        raise BadInput("the tiny model's tokenizer needs at least one caption to be trained on")
    try:
        import torch
        from transformers import Qwen2_5_VLForConditionalGeneration
    except ImportError as error:
        raise MissingExtra("transformers", "train", "building the tiny Qwen2.5-VL") from error
    tokenizer = _tokenizer(texts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(_config(tokenizer))
    generation = model.generation_config
    if generation is None:
        raise RuntimeError("a Qwen2.5-VL model came without its generation settings")
    # without these generation runs on to the length limit
    generation.eos_token_id = tokenizer.convert_tokens_to_ids([END, PAD])
    generation.pad_token_id = tokenizer.convert_tokens_to_ids(PAD)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    _processor(tokenizer).save_pretrained(folder)
    return folder


def _tokenizer(texts: list[str]) -> Any:
    """Byte-level BPE as Qwen's: any text can be written in it, the words of `texts` are short."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIALS, initial_alphabet=sorted(alphabet), show_progress=False
    )
    bpe.train_from_iterator([*texts, *[SCAFFOLD] * len(texts)], trainer)
    # bytes cover every text, so nothing is unknown
    tokens: dict[str, Any] = {"eos_token": END, "pad_token": PAD, "bos_token": None, "unk_token": None}
    return Qwen2Tokenizer(
        tokenizer_object=bpe, extra_special_tokens=SPECIALS[1:], chat_template=CHAT_TEMPLATE, **tokens
    )


def _config(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIALS}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "initializer_range": SPREAD,
        "bos_token_id": ids[PAD],
        "eos_token_id": ids[END],
        "pad_token_id": ids[PAD],
        "rope_parameters": _turns(),
    }
    vision = {
        "depth": 2,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_heads": 4,
        "out_hidden_size": text["hidden_size"],
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "window_size": WINDOW,
        "fullatt_block_indexes": [],
        "tokens_per_second": 2,
        "initializer_range": SPREAD,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )


def _turns() -> dict[str, Any]:
    """TIME and CELLS as a configuration can say them: "longrope" divides theta's powers, of 1 here, by a list."""
    pairs = (*TIME, *CELLS, *CELLS)
    divisors = [1 / turn for turn in pairs]
    return {
        "rope_type": "longrope",
        "rope_theta": 1.0,
        "short_factor": divisors,
        "long_factor": divisors,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": POSITIONS,
        "mrope_section": [len(TIME), len(CELLS), len(CELLS)],
    }


def _processor(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    sizes: dict[str, Any] = {
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
        "min_pixels": PIXELS,
        "max_pixels": PIXELS,
    }
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**sizes),
        chat_template=CHAT_TEMPLATE,
    )
