"""Tells a webhook about a run that failed. Pure but for the one request, which never fails anything."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import urllib3
from urllib3.util import parse_url

from lance_assets.errors import in_one_line

#: The address to post to, from the environment only: whoever knows it can post, too.
VARIABLE = "LANCE_ASSETS_ALERT_WEBHOOK"
#: Where people find the web UI, for the link; `lance-assets dev` sets it.
UI_VARIABLE, UI = "LANCE_ASSETS_UI", "http://127.0.0.1:3000"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
TIMEOUT_S = 5.0
LONGEST = 300

SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|WEBHOOK|CREDENTIAL", re.IGNORECASE)
#: What may carry a credential in an address: the user before the host, and the query behind the path.
USER, QUERY = re.compile(r"(?<=://)[^/\s@]+@"), re.compile(r"(https?://[^\s?]+)\?\S+")


def message(run_id: str, job: str, steps: Sequence[tuple[str | None, str]]) -> dict[str, Any]:
    """The body: `text` is what chat services show, the rest for programs. `steps` are (step, error), errors in one
    line; credentials of this process's environment, and what looks like some in an address, are left out."""
    step, error = steps[0]
    error = without_secrets(error)[:LONGEST]
    link = f"{os.environ.get(UI_VARIABLE) or UI}/runs/{run_id}"
    more = f" (and {len(steps) - 1} more steps)" if len(steps) > 1 else ""
    text = f"lance_assets: run {run_id[:8]} of {job} failed in {step or 'no step'}: {error}{more} {link}"
    return {"text": text, "run_id": run_id, "job": job, "step": step, "error": error, "link": link}


def post(url: str, body: dict[str, Any]) -> str | None:
    """Posts the body as JSON; redirects are not followed. Returns what went wrong in one line, without the address."""
    problem = unusable(url)
    if problem:
        return problem
    try:
        with urllib3.PoolManager(num_pools=1) as pool:
            answer = pool.request("POST", url, json=body, timeout=TIMEOUT_S, retries=False, redirect=False)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return f"the webhook cannot be reached: {type(error).__name__}"
    return None if 200 <= answer.status < 300 else f"the webhook answered {answer.status}"


def unusable(url: str) -> str | None:
    """Why an address must not be posted to; None = it may."""
    try:
        said = parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return f"{VARIABLE} is no address"
    if said.host and (said.scheme == "https" or (said.scheme == "http" and said.host in LOOPBACK)):
        return None
    return f"{VARIABLE} must be https, or http on loopback"


def without_secrets(text: str) -> str:
    """One line without the values of the environment's secrets, and without user and query of addresses."""
    text = in_one_line(text)
    for name, value in os.environ.items():
        if SECRET_NAME.search(name) and len(value) >= 6:
            text = text.replace(value, "***")
    return QUERY.sub(r"\1?***", USER.sub("***@", text))
