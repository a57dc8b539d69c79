"""`lance-assets serve` with a tiny model of random weights, asked by the client that everybody uses."""

import base64
import io
import json
import os
import signal
import subprocess

import openai
import pytest
from PIL import Image

from lance_assets.training.tiny import build_tiny
from lance_assets_tests.cli.command import COMMAND
from lance_assets_tests.ui.platform import free_port

KEY = "the key of a test"
SECONDS = 180


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve") / "tuned"
    model = build_tiny(folder / "model", ["It is night."])
    (model / "lance_assets.json").write_text(json.dumps({"tag": "sft-1"}))
    port = free_port()
    process = subprocess.Popen(
        [str(COMMAND), "serve", str(folder), "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"LANCE_ASSETS_SERVE_KEY": KEY},
    )
    with process:
        try:
            assert process.stderr is not None
            lines = []
            while "Ctrl-C ends it" not in (line := process.stderr.readline()):
                lines.append(line)
                assert line, "".join(lines)
            yield openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0, timeout=SECONDS)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def asked(client, *urls, key=None):
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "Describe this image."}]}]
    chosen = client if key is None else client.with_options(api_key=key)
    return chosen.chat.completions.create(model="tuned", messages=messages, max_tokens=5)


def data_url():
    sink = io.BytesIO()
    Image.new("RGB", (60, 60), "green").save(sink, "PNG")
    return f"data:image/png;base64,{base64.b64encode(sink.getvalue()).decode()}"


def test_a_picture_is_described_and_its_tokens_are_counted(client):
    answer = asked(client, data_url())
    assert isinstance(answer.choices[0].message.content, str)
    assert answer.usage.prompt_tokens > 81 and 0 < answer.usage.completion_tokens <= 5
    assert [model.id for model in client.models.list()] == ["tuned"]


def test_nobody_is_answered_without_the_key(client):
    with pytest.raises(openai.AuthenticationError):
        asked(client, data_url(), key="another")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="another").models.list()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.png", "file:///etc/passwd", "data:image/png;base64,AAAA"])
def test_a_picture_that_is_not_in_the_request_is_refused_and_never_fetched(client, url):
    with pytest.raises(openai.BadRequestError):
        asked(client, url)


def test_a_question_without_a_picture_or_with_two_is_refused(client):
    for urls in ([], [data_url()] * 2):
        with pytest.raises(openai.BadRequestError, match="one picture is wanted"):
            asked(client, *urls)
