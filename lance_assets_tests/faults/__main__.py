"""`make faults`: kills processes of the store at seeded points, and shows that nothing came of it.

The last line of stdout is the report as one JSON object; exit code 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from lance_assets.store.files import DataRoot
from lance_assets_tests.faults.campaign import Report, campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lance_assets_tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--root", help="where the tables lie: a folder or a URI; default a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = DataRoot(given.root or f"{scratch}/data")
        report = campaign(given.kills, given.seed, base, Path(scratch), lambda line: print(line, file=sys.stderr))
    print(in_words(report))
    print(json.dumps(vars(report)))
    return 1 if report.failures else 0


def in_words(report: Report) -> str:
    """The report for people."""
    redone = ", ".join(f"{count} {what}s" for what, count in report.redone.items()) or "nothing"
    lines = [
        f"{report.kills} kills in {report.steps} steps of {report.scripts} scripts, {report.seconds:.0f} s",
        f"{report.lost} lost, {report.duplicated} duplicated, {report.unexplained} unexplained; redone: {redone}",
        *(f"{count:5} in {what}" for what, count in report.by_operation.most_common()),
        *(f"{count:5} at {place}" for place, count in report.by_place.most_common()),
        *(f"seed {one['seed']}: {one['problem']}\n  again: {one['replay']}" for one in report.failures),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
