"""A checkpoint behind an OpenAI-compatible endpoint on loopback: what the scorer judge, or any client, can ask.

The protocol is the part of https://platform.openai.com/docs/api-reference/chat that a question about one picture needs:
POST /v1/chat/completions without streaming, GET /v1/models. Pictures come as data: URLs only; nothing is fetched.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from lance_assets.compute import LOOPBACK
from lance_assets.compute.replica import listen_on_loopback_only
from lance_assets.ingest.conversation import IMAGE, without_tokens
from lance_assets.training.checkpoint import Checkpoint, trained_pixels
from lance_assets.training.heldout import Example
from lance_assets.training.pictures import opened

APPLICATION = "labeller-endpoint"
#: Bytes of a picture at most, decoded from base64.
MOST_BYTES = 20 * 1024**2
MOST_PIXELS = 50_000_000
#: Of all text of a question together, and turns: what a model's context surely holds beside a picture.
MOST_CHARACTERS, MOST_TURNS = 16_000, 64
#: A name that no server can have (RFC 6761), so that vLLM fetches nothing: with an empty list it would fetch all.
NOWHERE = "nothing.invalid"


class Part(BaseModel):
    type: Literal["text", "image_url"]
    text: str = ""
    image_url: dict[str, Any] = Field(default={})


class Turn(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str | list[Part]


class Question(BaseModel):
    """What is read of a request; sampling settings are ignored, answers are greedy."""

    model: str = ""
    messages: list[Turn] = Field(min_length=1, max_length=MOST_TURNS)
    max_tokens: int = Field(default=90, ge=1, le=1024)
    stream: Literal[False] = False


class Refused(Exception):
    """A request that is not answered; `status` is HTTP's."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@serve.deployment(max_ongoing_requests=16)
class Endpoint:
    """One model, questions answered one after the other in a thread."""

    def __init__(self, folder: str, name: str, key: str) -> None:
        listen_on_loopback_only()
        self._checkpoint = Checkpoint(Path(folder), trained_pixels(Path(folder)))
        self._name, self._key, self._free = name, key, asyncio.Lock()

    async def __call__(self, request: Request) -> JSONResponse:
        try:
            return JSONResponse(await self._answer(request))
        except Refused as refused:
            kind = "authentication_error" if refused.status == 401 else "invalid_request_error"
            return JSONResponse({"error": {"message": str(refused), "type": kind}}, refused.status)

    async def _answer(self, request: Request) -> dict[str, Any]:
        said = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(said.encode(), self._key.encode()):
            raise Refused(401, "the key is missing or wrong")
        if (request.method, request.url.path) == ("GET", "/v1/models"):
            return {"object": "list", "data": [{"id": self._name, "object": "model", "owned_by": "lance_assets"}]}
        if (request.method, request.url.path) != ("POST", "/v1/chat/completions"):
            raise Refused(404, "there are GET /v1/models and POST /v1/chat/completions")
        return await self._completed(await _question(request))

    async def _completed(self, question: Question) -> dict[str, Any]:
        check_size(question)
        async with self._free:
            text, asked, told = await asyncio.to_thread(self._told, question)
        ended = "length" if told >= question.max_tokens else "stop"
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._name,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": ended}],
            "usage": {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told},
        }

    def _told(self, question: Question) -> tuple[str, int, int]:
        """In a thread, so that others are refused, or told the model's name, meanwhile."""
        return self._checkpoint.answer(example_of(question), question.max_tokens)


async def _question(request: Request) -> Question:
    """Raises Refused for a body that is too large, or no question."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > 2 * MOST_BYTES:
            raise Refused(413, f"the request has more than {2 * MOST_BYTES} bytes")
    try:
        return Question.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(400, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from error


def check_size(question: Question) -> None:
    """Raises Refused for a question with other than one picture, or too much text, before a picture is decoded."""
    parts = [part for turn in question.messages for part in _parts(turn)]
    pictures = sum(part.type == "image_url" for part in parts)
    if pictures != 1:
        raise Refused(400, f"one picture is wanted, {pictures} came")
    characters = sum(len(part.text) for part in parts)
    if characters > MOST_CHARACTERS:
        raise Refused(400, f"the text has {characters} characters, more than {MOST_CHARACTERS}")


def example_of(question: Question) -> Example:
    """The conversation with `<image>` where its one picture stands. Raises Refused naming what is wrong."""
    check_size(question)
    pictures: list[Any] = []
    messages: list[dict[str, str]] = []
    for turn in question.messages:
        runs = [""]  # of text between pictures: a token may come in pieces
        for part in _parts(turn):
            if part.type == "text":
                runs[-1] += part.text
            else:
                pictures.append(_picture(str(part.image_url.get("url", ""))))
                runs.append("")
        plain = [without_tokens(text.replace(IMAGE, "image")) for text in runs]
        messages.append({"role": turn.role, "content": IMAGE.join(plain)})
    return Example("", messages, "", pictures[0])


def _parts(turn: Turn) -> list[Part]:
    return [Part(type="text", text=turn.content)] if isinstance(turn.content, str) else turn.content


def _picture(url: str) -> Any:
    from PIL import Image

    head, _, body = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        raise Refused(400, "image_url must be a data: URL in base64; nothing is fetched")
    if len(body) > MOST_BYTES * 4 // 3 + 4:
        raise Refused(413, f"the picture has more than {MOST_BYTES} bytes")
    try:
        picture = opened(base64.b64decode(body, validate=True))
        if picture.width * picture.height > MOST_PIXELS:
            raise Refused(413, f"the picture has more than {MOST_PIXELS} pixels")
        return picture.convert("RGB")
    except Image.DecompressionBombError as error:
        raise Refused(413, f"the picture has more than {MOST_PIXELS} pixels") from error
    except (binascii.Error, OSError, ValueError, SyntaxError) as error:
        raise Refused(400, f"the picture cannot be read: {error}") from error


def start(folder: Path, name: str, port: int, key: str) -> None:
    """Serves a model with transformers at http://127.0.0.1:<port>/v1 in the Ray cluster of this process, until
    `serve.delete(APPLICATION)` or the cluster ends."""
    serve.start(http_options={"host": LOOPBACK, "port": port})
    serve.run(Endpoint.bind(str(folder), name, key), name=APPLICATION, route_prefix="/")


def vllm_command(folder: Path, name: str, port: int) -> list[str] | None:
    """How vLLM serves the same on a GPU; its key comes from VLLM_API_KEY. It fetches no picture either; sizes are
    bounded by the engine. None where the extra `vllm` is missing."""
    if find_spec("vllm") is None:
        return None
    entry = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    place = ["--host", LOOPBACK, "--port", str(port), "--allowed-media-domains", NOWHERE]
    return [*entry, "--model", str(folder), "--served-model-name", name, *place]
