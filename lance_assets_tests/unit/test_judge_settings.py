"""The settings of the judge: what is missing, what is refused, what a score depends on."""

from __future__ import annotations

import pytest

from lance_assets.errors import BadInput
from lance_assets.scoring.judge import Judge, JudgeConfig


def test_what_is_missing_is_named_before_a_row_is_read(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="needs base_url in its config"):
        Judge().check(tmp_path)
    ready = Judge(JudgeConfig(model="m", base_url="https://example.org/v1", key_variable="JUDGE_KEY"))
    with pytest.raises(BadInput, match="environment variable JUDGE_KEY"):
        ready.check(tmp_path)
    monkeypatch.setenv("JUDGE_KEY", "any")
    ready.check(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(BadInput, match=r"needs the package openai: pip install 'lance_assets\[judge\]'"):
        ready.check(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    ["http://example.org/v1", "ftp://example.org", "https://me:pw@example.org", "https://example.org/?key=1", "v1"],
)
def test_pictures_and_keys_go_over_no_open_line(url):
    with pytest.raises(ValueError, match="must"):
        JudgeConfig(base_url=url)


def test_plain_http_is_for_loopback_or_whoever_says_so():
    for url in ("http://127.0.0.1:8000/v1", "http://localhost:8000/v1", "http://[::1]:8000/v1"):
        assert JudgeConfig(base_url=url).base_url == url
    assert JudgeConfig(base_url="http://10.0.0.3:8000/v1/", allow_http=True).base_url == "http://10.0.0.3:8000/v1"


def test_only_what_can_change_a_score_is_part_of_the_hash():
    plain = JudgeConfig(model="m")
    same = JudgeConfig(model="m", base_url="https://example.org/v1", requests_per_minute=5, canary_share=0.5)
    assert plain.config_hash() == same.config_hash()
    others = [JudgeConfig(model="n"), JudgeConfig(model="m", max_side=512), JudgeConfig(model="m", question="?")]
    assert len({config.config_hash() for config in (plain, *others)}) == 4
