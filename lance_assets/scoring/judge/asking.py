"""How one row is asked: budget, place, limits, request, journal; and again where that helps."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lance_assets.scoring.judge.answer import Answer, read_answer
from lance_assets.scoring.judge.config import JudgeConfig
from lance_assets.scoring.judge.faults import Again, Rejected
from lance_assets.scoring.judge.gate import Gate
from lance_assets.scoring.judge.journal import Journal, Known
from lance_assets.scoring.judge.limiter import Held, Limiter
from lance_assets.scoring.judge.picture import Sent
from lance_assets.scoring.judge.prompt import rules
from lance_assets.scoring.judge.purse import Purse, Spent
from lance_assets.scoring.judge.records import Kind, Record
from lance_assets.scoring.judge.tokens import Estimator
from lance_assets.scoring.outcome import ScoreFailure, State, Unusable

#: Seconds between tries at first and at most, where the endpoint does not say; drawn at random below that.
BACK_OFF_S, MOST_BACK_OFF_S = 0.5, 30.0
#: Rows that an endpoint may turn down, before any answer, until that is taken for a fault of the settings.
SUSPICIOUS = 5


class Answering(Protocol):
    """An endpoint; see client.Endpoint."""

    def ask(self, caption: str, image: str) -> str: ...


@dataclass(frozen=True)
class Question:
    """One row as it is asked; `key` is the digest of all that the answer depends on. `canary` is the score that a
    planted instruction in the caption asks for, `plain` the score without it."""

    id: str
    key: str
    caption: str
    canary: int | None = None
    plain: int = 0


def key_of(image_sha256: str, caption: str, version: str, config: JudgeConfig) -> str:
    """32 hex digits. The version of the prompt is part of `version`."""
    what = json.dumps([image_sha256, caption, version, config.config_hash()], ensure_ascii=True)
    return hashlib.sha256(what.encode()).hexdigest()[:32]


class Asker:
    """Holds what all requests share: limits, places in flight, budget, journal. Threads share it."""

    def __init__(self, config: JudgeConfig, version: str, endpoint: Answering, journal: Journal) -> None:
        self.config, self.version, self.endpoint, self.journal = config, version, endpoint, journal
        self.purse = Purse(journal, config.budget)
        self.gate = Gate(config.concurrency)
        self.limiter = Limiter(
            config.requests_per_minute,
            config.tokens_per_minute,
            config.period_s,
            config.ramp_s,
            config.slack_s,
            config.patience_s,
        )
        self.estimator = Estimator(config.max_tokens)
        self._rejected = 0
        self._lock = threading.Lock()
        self._retrying = Retrying(
            retry=retry_if_exception_type(Again), stop=stop_after_attempt(config.retries), wait=_pause, reraise=True
        )

    def ask(self, question: Question, picture: Sent) -> Known:
        """The answer, which is in the journal. Raises ScoreFailure for this row, Unusable for all."""
        fault = ""
        for _ in range(self.config.attempts):
            try:
                answer = self._retrying.copy()(self._once, question, picture)
            except (Again, Spent, Held) as error:
                raise ScoreFailure(State.FAILED_TRANSIENT, str(error)) from None
            except Rejected as error:
                raise self._turned_down(error) from None
            if answer.verdict is not None:
                return Known(answer.verdict.score)
            if answer.refusal is not None:
                return Known(None, answer.refusal)
            fault = answer.fault or fault
        raise ScoreFailure(State.FAILED_PERMANENT, f"after {self.config.attempts} answers: {fault}")

    def _once(self, question: Question, picture: Sent) -> Answer:
        """One request, from the budget to the journal."""
        config, text = self.config, rules(question.caption, self.config.question) + question.caption
        expected = self.estimator.input_tokens(text, picture.width, picture.height)
        asked = self._record(question, "asked", uuid.uuid4().hex[:16], (expected, config.max_tokens))
        self.purse.set_aside(asked)
        end = asked.model_copy(update={"kind": "unpaid", "input_tokens": 0, "output_tokens": 0, "cost": 0.0})
        try:
            answer, seconds = self._sent(question, picture, asked)
            input_tokens, output_tokens = answer.input_tokens, answer.output_tokens
            if input_tokens is not None:
                self.estimator.learn(text, picture.width, picture.height, input_tokens)
            tokens = (
                expected if input_tokens is None else input_tokens,
                config.max_tokens if output_tokens is None else output_tokens,
            )
            end = self._ended(question, asked, answer, tokens, seconds)
            return answer
        except Again as error:
            if error.paid:
                end = asked.model_copy(update={"kind": "lost", "at": time.time()})
            raise
        finally:
            self.purse.settle(end)

    def _sent(self, question: Question, picture: Sent, asked: Record) -> tuple[Answer, float]:
        """The answer and its seconds, within the limits. Raises what the endpoint raises."""
        self.gate.enter()
        seconds, overload, tokens = None, False, None
        try:
            sending = self.limiter.take(asked.tokens)
            begun = time.monotonic()
            try:
                answer = read_answer(self.endpoint.ask(question.caption, picture.url))
                seconds = time.monotonic() - begun
                if answer.input_tokens is not None and answer.output_tokens is not None:
                    tokens = answer.input_tokens + answer.output_tokens
                return answer, seconds
            except Again as error:
                overload = error.overload
                if overload:
                    self.limiter.slow_down()
                if error.after_s is not None:
                    self.limiter.hold(error.after_s)
                raise
            finally:
                self.limiter.settle(sending, tokens)
        finally:
            self.gate.leave(seconds, overload)

    def _ended(
        self, question: Question, asked: Record, answer: Answer, tokens: tuple[int, int], seconds: float
    ) -> Record:
        kind: Kind = "answer" if answer.verdict else "refused" if answer.refusal else "malformed"
        score = answer.verdict.score if answer.verdict else None
        reason = answer.verdict.reason if answer.verdict else answer.refusal or answer.fault
        more = {"score": score, "reason": reason, "seconds": round(seconds, 3)}
        if question.canary is not None and score is not None:
            more["shift"] = (score - question.plain) * (1 if question.canary > question.plain else -1)
        return self._record(question, kind, asked.number, tokens).model_copy(update=more)

    def _record(self, question: Question, kind: Kind, number: str, tokens: tuple[int, int]) -> Record:
        return Record(
            kind=kind,
            key=question.key,
            id=question.id,
            version=self.version,
            at=time.time(),
            number=number,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            cost=self.config.prices.cost(*tokens),
            canary=question.canary,
        )

    def _turned_down(self, error: Rejected) -> Exception:
        with self._lock:
            self._rejected += 1
            if self._rejected >= SUSPICIOUS and not self.journal.totals.answers:
                return Unusable(f"no row has been answered yet, and {error}")
        return ScoreFailure(State.FAILED_PERMANENT, str(error))


_BACK_OFF = wait_random_exponential(multiplier=BACK_OFF_S, max=MOST_BACK_OFF_S)


def _pause(state: RetryCallState) -> float:
    """Seconds until the next try: what the endpoint asked for is held by the limiter, for all rows."""
    error = state.outcome.exception() if state.outcome is not None else None
    return 0.0 if isinstance(error, Again) and error.after_s else _BACK_OFF(state)
