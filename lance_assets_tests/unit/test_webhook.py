"""The alert: what it says, what it never says, where it goes and what happens when nobody answers."""

import pytest

from lance_assets.automation.webhook import VARIABLE, message, post, unusable, without_secrets
from lance_assets_tests.webhook import SECRET, Hook, webhook


@pytest.fixture
def hook():
    with webhook() as server:
        yield server


def test_the_body_says_run_job_step_error_and_where_to_look(hook, monkeypatch):
    monkeypatch.setenv("LANCE_ASSETS_UI", "http://127.0.0.1:3111")
    body = message("0123456789ab", "assets", [("image_dataset", "disk full"), ("score", "x")])
    assert post(hook.url, body) is None
    assert hook.bodies == [body]
    assert (body["run_id"], body["job"], body["step"], body["error"]) == (
        *("0123456789ab", "assets", "image_dataset", "disk full"),
    )
    assert body["link"] == "http://127.0.0.1:3111/runs/0123456789ab" and body["link"] in body["text"]
    assert "(and 1 more steps)" in body["text"] and "\n" not in body["text"]


def test_an_error_is_one_short_line_without_credentials(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-1234567890")
    text = "no answer from https://me:pw@example.org/a?sig=abc&x=1 with sk-1234567890\nTraceback ..."
    said = message("r", "j", [(None, text)])
    assert said["error"] == "no answer from https://***@example.org/a?*** with ***"
    assert "no step" in said["text"]
    assert len(message("r", "j", [("s", "x" * 5000)])["error"]) == 300


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://hooks.example.org/x", True),
        ("http://127.0.0.1:1/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:3/x", True),
        ("http://hooks.example.org/x", False),
        ("http://127.0.0.1.example.org/x", False),
        ("http://127.0.0.1@example.org/x", False),
        ("file:///etc/passwd", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_only_https_or_loopback_is_posted_to(url, may):
    assert (unusable(url) is None) == may
    if not may:
        assert post(url, {}) == unusable(url) and VARIABLE in (unusable(url) or "")


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_refuses_is_told_once_and_no_redirect_is_followed(hook, status):
    hook.status = status
    problem = post(hook.url, {"text": "x"})
    assert problem == f"the webhook answered {status}" and len(hook.bodies) == 1


def test_a_webhook_that_is_not_there_is_told_without_its_address():
    with Hook() as gone:
        url = gone.url
    problem = post(url, {})
    assert problem and "cannot be reached" in problem and SECRET not in problem


def test_short_values_and_ordinary_variables_are_no_secrets(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "on")
    monkeypatch.setenv("EDITOR", "something")
    assert without_secrets("switch on something") == "switch on something"
