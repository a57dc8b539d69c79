"""`lance-assets`: parses the command line and turns bad input into one sentence and exit code 2."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the point is to say it before anything newer is imported
    sys.exit(f"lance_assets needs Python 3.11; this is {sys.version.split()[0]}")

import argparse
from collections.abc import Sequence

from lance_assets.cli import dev, ray, run, status
from lance_assets.errors import BadInput


class Parser(argparse.ArgumentParser):
    """Says a wrong flag in one sentence instead of the whole usage."""

    def error(self, message: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise BadInput(f"{self.prog}: {message}")


def parser() -> argparse.ArgumentParser:
    shared = Parser(add_help=False)
    shared.add_argument("--home", help="folder of the platform (default: LANCE_ASSETS_HOME, else ./lance_home)")
    shared.add_argument("--json", action="store_true", help="end stdout with one JSON object")
    top = Parser(prog="lance-assets", description="Labels image-caption data and trains a Qwen-VL on it.")
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    one = commands.add_parser("run", parents=[shared], help="the whole graph, incrementally")
    run.add(one, demo=False)
    one.set_defaults(main=run.main)
    one = commands.add_parser("demo", parents=[shared], help="run on the built-in demo source")
    run.add(one, demo=True)
    one.set_defaults(main=run.main)
    one = commands.add_parser("status", parents=[shared], help="batches, stale cells, queue, last failures")
    one.set_defaults(main=status.main)
    one = commands.add_parser("dev", parents=[shared], help="Dagster UI and daemon, Ray head and demo servers")
    dev.add(one)
    one.set_defaults(main=dev.main)
    one = commands.add_parser("ray", parents=[shared], help="a Ray head on loopback that runs can join")
    ray.add(one)
    one.set_defaults(main=ray.main)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    try:
        flags = parser().parse_args(argv)
        return flags.main(flags)
    except BadInput as error:
        print(f"lance-assets: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
