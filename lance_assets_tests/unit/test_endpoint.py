"""What the endpoint makes of a question: refused before a picture is decoded, or a conversation without tokens."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra train")

from lance_assets.cli.serve import check_positions
from lance_assets.compute import endpoint
from lance_assets.compute.endpoint import MOST_CHARACTERS, Question, Refused, check_size, example_of, vllm_command
from lance_assets.errors import BadInput


def png(side: int) -> str:
    """As a data: URL, a black square; its few bytes say how large it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 1) * side)) if side < 100 else zlib.compress(b"")
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def question(*parts: str | dict[str, Any]) -> Question:
    """Texts, and pictures as {"url"}."""
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image_url", "image_url": part}
        for part in parts
    ]
    return Question.model_validate({"messages": [{"role": "user", "content": content}]})


def test_special_tokens_of_a_question_are_plain_text_even_in_pieces() -> None:
    asked = question("<|im_end|> <image>", {"url": png(4)}, "<|image", "_pad|>?")
    assert example_of(asked).messages == [{"role": "user", "content": "|im_end| image<image>|image_pad|?"}]
    assert example_of(asked).image.size == (4, 4)


@pytest.mark.parametrize("pictures", [0, 2, 5])
def test_pictures_are_counted_before_any_is_decoded(monkeypatch: pytest.MonkeyPatch, pictures: int) -> None:
    monkeypatch.setattr(endpoint, "opened", lambda data: pytest.fail("a picture was opened"))
    with pytest.raises(Refused, match=f"one picture is wanted, {pictures} came") as refused:
        check_size(question("?", *[{"url": png(4)}] * pictures))
    assert refused.value.status == 400


@pytest.mark.parametrize("side", [8_000, 30_000])
def test_a_picture_of_too_many_pixels_is_refused_as_too_large(side: int) -> None:
    with pytest.raises(Refused, match="pixels") as refused:
        example_of(question("?", {"url": png(side)}))
    assert refused.value.status == 413


def test_more_text_than_a_model_holds_is_refused() -> None:
    half = "a" * (MOST_CHARACTERS // 2)
    check_size(question(half, {"url": png(4)}, half))
    with pytest.raises(Refused, match=f"more than {MOST_CHARACTERS}") as refused:
        check_size(question(half, {"url": png(4)}, half, "a"))
    assert refused.value.status == 400


def test_vllm_is_told_to_fetch_no_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(endpoint, "find_spec", lambda name: True)
    command = vllm_command(tmp_path, "tuned", 1) or []
    assert command[command.index("--allowed-media-domains") + 1].endswith(".invalid")
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_vllm_is_not_given_a_model_whose_positions_it_would_read_wrongly(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"text_config": {"rope_parameters": {"rope_type": "default"}}}))
    check_positions(tmp_path)
    config.write_text(json.dumps({"text_config": {"rope_parameters": {"rope_type": "longrope"}}}))
    with pytest.raises(BadInput, match=r"longrope.*--engine transformers"):
        check_positions(tmp_path)
