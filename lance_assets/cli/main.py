"""`lance-assets`: parses the command line and turns bad input into one sentence and exit code 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from lance_assets import __version__
from lance_assets.cli import audit, bench, dev, maintain, promote, ray, repro, retry, run, serve, status, train, webui
from lance_assets.errors import BadInput, Busy, Failed, Unreachable

ABOUT = """\
Labels image-caption data and fine-tunes a Qwen-VL on it: one lineage of Dagster assets, computed by Ray, stored in one
Lance table, trained by LLaMA-Factory."""
EXIT_CODES = "exit codes: 0 done, also with rejected rows; 1 a step failed; 2 bad input, told in one sentence"
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Says a wrong flag in one sentence instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    shared = Parser(add_help=False)
    shared.add_argument(
        "--home", metavar="DIR", help="the platform's folder (default: LANCE_ASSETS_HOME or lance_home)"
    )
    shared.add_argument("--json", action="store_true", help="end stdout with one JSON object")
    top = Parser(prog="lance-assets", description=ABOUT, epilog=EXIT_CODES)
    top.add_argument("--version", action="version", version=f"lance-assets {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, about: str) -> argparse.ArgumentParser:
        """One sentence says what a command does, in the list of commands and in its own help."""
        return commands.add_parser(name, parents=[shared], help=about, description=f"{about[0].upper()}{about[1:]}.")

    run.add(command("run", "the whole graph on your own data; run it again and only what is new is worked on"))
    run.add_demo(command("demo", "the whole graph on frames of a game that are made and served on this machine"))
    status.add(command("status", "what is stored, stale and queued, what works by itself, what failed last"))
    audit.add(command("audit", "where rows, labels, versions and checkpoints come from; the data card"))
    retry.add(command("retry", "rows that were rejected are tried again, and only these"))
    promote.add(command("promote", "accepts labels that moved too far, or makes a tuned model the one that labels"))
    maintain.add(command("maintain", "compaction, cleanup and verification of the tables, safe while others work"))
    dev.add(command("dev", "Dagster's web UI and daemon, a Ray head and the demo's servers, all on loopback"))
    ray.add(command("ray", "a Ray head on loopback that runs can join, so that they start faster"))
    train.add(command("train", "LLaMA-Factory on the newest training set, in this terminal"))
    webui.add(command("webui", "LLaMA-Factory's own web UI on loopback, with the training sets registered"))
    repro.add(command("repro", "proves that the rows of a checkpoint are the same, and trains on them again"))
    serve.add(command("serve", "a checkpoint behind an OpenAI-compatible endpoint on loopback"))
    bench.add(command("bench", "what this machine makes of the figures that the project promises; needs a checkout"))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    try:
        flags = parser().parse_args(argv)
        return flags.main(flags)
    except BadInput as error:
        print(f"lance-assets: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except (Busy, Failed, Unreachable) as error:
        print(f"lance-assets: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lance-assets: interrupted; what is stored stays, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
