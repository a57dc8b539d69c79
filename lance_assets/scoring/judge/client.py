"""The endpoint, by the openai client. Its own retries are off: ours know the limits and the budget."""

from __future__ import annotations

import os
from importlib.util import find_spec

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.scoring.judge.config import JudgeConfig, on_loopback
from lance_assets.scoring.judge.faults import meaning
from lance_assets.scoring.judge.prompt import messages, response_format

#: Seconds to connect, and to wait for a connection that is in use.
CONNECT_S, POOL_S = 10.0, 60.0


def key_of(config: JudgeConfig) -> str:
    """The key, from the environment. Raises BadInput naming the variable."""
    key = os.environ.get(config.key_variable, "").strip()
    if not key:
        raise BadInput(
            f"the scorer judge needs a key in the environment variable {config.key_variable}; for a server that asks "
            "for none, any word"
        )
    return key


def check_settings(config: JudgeConfig) -> None:
    """Raises BadInput for settings that nobody can ask with, and MissingExtra without the client."""
    for name in ("base_url", "model"):
        if getattr(config, name) is None:
            raise BadInput(f"the scorer judge needs {name} in its config in platform.yaml")
    key_of(config)
    if find_spec("openai") is None:
        raise MissingExtra("openai", "judge", "the scorer judge")


class Endpoint:
    """Asks one question at a time; threads share it and its connections."""

    def __init__(self, config: JudgeConfig) -> None:
        """Raises BadInput, as `check_settings` does."""
        check_settings(config)
        import openai

        self.config, self._key = config, key_of(config)
        timeout = openai.Timeout(config.timeout_s, connect=min(CONNECT_S, config.timeout_s), pool=POOL_S)
        local = config.base_url is not None and on_loopback(config.base_url)
        http = openai.DefaultHttpxClient(
            timeout=timeout,
            follow_redirects=False,  # images go to the address that was named
            trust_env=not local,  # a proxy cannot reach this machine's loopback
        )
        self._openai = openai
        self._client = openai.OpenAI(
            api_key=self._key, base_url=config.base_url, timeout=timeout, max_retries=0, http_client=http
        )

    def ask(self, caption: str, image: str) -> str:
        """The body of the answer to one request; `image` is a data URL. Raises Again, Rejected, ScoreFailure or
        Unusable."""
        config = self.config
        sampling = {} if config.temperature is None else {"temperature": config.temperature}
        body = {
            "model": config.model,
            "messages": messages(caption, image, config.question),
            "response_format": response_format(config.answer),
            **{"max_tokens": config.max_tokens, **sampling, **config.extra},
        }
        try:
            # As it is: the typed method of the client takes as much time over a body as all the rest of a request.
            return self._client.post("/chat/completions", body=body, cast_to=str)
        except self._openai.APIError as error:
            raise meaning(error, config, self._key) from None

    def close(self) -> None:
        self._client.close()
