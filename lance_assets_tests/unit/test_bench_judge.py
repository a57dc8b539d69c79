"""`lance-assets bench judge`: that it measures. Limits, kill and budget are exact; speed is not asserted."""

from __future__ import annotations

from dataclasses import replace

import jsonschema

from lance_assets.cli.bench import BENCHMARKS, schema
from lance_assets_tests.bench import judge


def test_the_benchmark_follows_the_schema_and_its_exact_goals_are_met(monkeypatch):
    assert "judge" in BENCHMARKS
    monkeypatch.setenv(judge.KEY_VARIABLE, "")
    monkeypatch.setattr(judge, "QUICK", replace(judge.QUICK, requests=10, period_s=0.4, ramp_s=0.1, killed=30))
    monkeypatch.setattr(judge, "_killed", lambda found, sizes: None)  # test_judge_journal.py kills
    report = judge.run(True, lambda line: None)
    jsonschema.validate(report.as_json(), schema())
    exact = {goal.name: goal for goal in report.goals if not goal.name.startswith("judge_time_over")}
    assert len(exact) == len(report.goals) - 2 == 4
    assert all(goal.met for goal in exact.values()), exact
    assert [row.get("lost") for row in report.rows][:3] == [0, 0, 0]
