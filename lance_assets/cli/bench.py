"""`lance-assets bench NAME`: measures this machine against the goals of the project. The benchmarks live beside the
tests and are not installed with the package: a checkout has them."""

from __future__ import annotations

import importlib
import json
import sys
from argparse import ArgumentParser, Namespace
from importlib import resources, util
from pathlib import Path
from typing import Any

import lance_assets
from lance_assets.errors import BadInput

#: What each measures, by its name, which is that of its module, too.
BENCHMARKS = {
    "commit": "what the store's commits and lookups cost",
    "audit": "how long an audit of a million rows takes",
    "ingest": "images a second and CPU time against img2dataset, which is installed apart",
    "label": "what a new score column costs, against a bare loop, Parquet, Ray Data and the guide's own path",
    "judge": "requests a minute against what the limits allow, and what a kill and a budget cost",
    "duplicates": "what new rows cost where few and where many are stored",
    "automation": "what a tick of each sensor costs at 5,000 batches and 8 columns",
    "screen": "what the tiny model reads of unseen screens after ten minutes of training",
    "train": "LLaMA-Factory on Lance against JSON and files, Parquet and a Hugging Face cache",
    "fused": "five scorers of pictures in one pass against five passes",
}
PACKAGE = "lance_assets_tests"


def add(parser: ArgumentParser) -> None:
    said = "; ".join(f"{name}: {what}" for name, what in BENCHMARKS.items())
    parser.add_argument("benchmark", choices=BENCHMARKS, help=said)
    parser.add_argument("--quick", action="store_true", help="smaller, in seconds: to see that it runs")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Goals that are missed are said, and are no error. Raises BadInput where the benchmarks are not here."""
    checkout = Path(lance_assets.__file__).parent.parent
    if (checkout / PACKAGE).is_dir() and str(checkout) not in sys.path:
        sys.path.append(str(checkout))
    if util.find_spec(PACKAGE) is None:
        raise BadInput(
            f"the benchmarks are not installed with the package: run this in a checkout, which has {PACKAGE}/"
        )
    benchmark = importlib.import_module(f"{PACKAGE}.bench.{flags.benchmark}")
    report = benchmark.run(flags.quick, lambda text: print(text, file=sys.stderr, flush=True))
    print("\n".join(report.lines()))
    if flags.json:
        print(json.dumps(report.as_json()))
    return 0


def schema() -> dict[str, Any]:
    """The JSON schema of what every benchmark ends with."""
    return json.loads(resources.files("lance_assets.cli").joinpath("bench.schema.json").read_text())
