"""What one request of a task brings: the image, its next place, or a typed failure."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lance_assets.ingest.answer import Headers, Response
from lance_assets.ingest.body import read_capped, read_start, refuse_encoded, validator
from lance_assets.ingest.exchange import REDIRECTS, Answer, Exchange, Reader
from lance_assets.ingest.gate import HostGate
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.optout import opt_out
from lance_assets.ingest.outcome import Fetched, FetchError, Unmodified
from lance_assets.ingest.picture import fetched
from lance_assets.ingest.robots import KEPT_S, MOST_BYTES, Robots, Verdict, rules_for_us
from lance_assets.ingest.schedule import Schedule
from lance_assets.ingest.task import Task
from lance_assets.ingest.urls import Place, next_hop
from lance_assets.ingest.watchdog import Watchdog

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0


@dataclass(frozen=True)
class Hops:
    """The parts of a fetcher that its downloads share."""

    limits: Limits
    gate: HostGate
    robots: Robots
    exchange: Exchange
    watchdog: Watchdog
    _dice: random.Random = field(default_factory=random.Random)

    def image(self, task: Task, schedule: Schedule) -> Fetched | Unmodified | Place:
        """The schedule is told as soon as the host may serve somebody else. Raises FetchError."""
        place = _placed(task)
        answer = self._ask(task, place, task.headers, self._image_body, schedule)
        schedule.done(task)
        if answer.status in REDIRECTS:
            return self._redirect(task, place, answer)
        etag, modified = validator(answer.headers.get("ETag")), validator(answer.headers.get("Last-Modified"))
        if answer.status == 304:
            if not task.headers:
                raise FetchError("http_304", "an answer to a condition that was not sent", status=304)
            self._refuse_opt_out(answer.headers, 304)
            return Unmodified(place.url, 304, task.attempt, etag, modified, answer.at)
        try:
            return fetched(
                answer.body,
                self.limits,
                final_url=place.url,
                status=answer.status,
                attempts=task.attempt,
                etag=etag,
                last_modified=modified,
                fetched_at=answer.at,
            )
        except FetchError as error:
            error.status = answer.status
            raise

    def rules(self, task: Task, schedule: Schedule) -> Verdict | Place:
        """The rules of a robots.txt; 4xx = there are none (but 429, which is a request to come back later), as RFC
        9309 says. Raises FetchError, also for 5xx."""
        place = _placed(task)
        body = b""
        try:
            answer = self._ask(task, place, {"Accept": "text/plain, */*;q=0.5"}, _rules_body, schedule)
            if answer.status in REDIRECTS and task.hops < self.limits.max_redirects:
                return self._redirect(task, place, answer)
            body = answer.body
        except FetchError as error:
            status = error.status or 0
            if error.reason != f"http_{status}" or status == 429 or status >= 500:
                raise
        finally:
            schedule.done(task)
        return Verdict(time.time() + KEPT_S, rules_for_us(body))

    def pause(self, attempt: int) -> float:
        """Seconds until the next attempt: doubling from 0.25 s to 8 s, with jitter."""
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1)) * self._dice.uniform(0.5, 1.0)

    def _ask(self, task: Task, place: Place, headers: dict[str, str], reader: Reader, schedule: Schedule) -> Answer:
        budget_s = max(0.001, self.limits.total_s - task.spent_s)
        answer = self.exchange.get(place, headers, budget_s, reader, schedule.aside)
        task.spent_s += answer.took_s
        return answer

    def _redirect(self, task: Task, place: Place, answer: Answer) -> Place:
        task.hops += 1
        if task.hops > self.limits.max_redirects:
            raise FetchError("too_many_redirects", f"more than {self.limits.max_redirects}, the last from {place.url}")
        try:
            return next_hop(place, answer.headers.get("Location"))
        except FetchError as error:
            error.status = answer.status
            raise

    def _image_body(self, response: Response, expired: Callable[[], bool]) -> bytes:
        self._refuse_opt_out(response.headers, response.status)
        return read_capped(response, self.limits.max_bytes, expired)

    def _refuse_opt_out(self, headers: Headers, status: int) -> None:
        if self.limits.opt_out_headers and (said := opt_out(headers.get_all("X-Robots-Tag"))):
            raise FetchError("opted_out", f"X-Robots-Tag: {said}", status=status)


def _rules_body(response: Response, expired: Callable[[], bool]) -> bytes:
    refuse_encoded(response)
    return read_start(response, MOST_BYTES, expired)


def _placed(task: Task) -> Place:
    if task.place is None:
        raise RuntimeError(f"task {task.number} was sent without a place")
    return task.place
