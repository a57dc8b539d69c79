"""`lance-assets ray up | down`: a Ray head on loopback that runs can join."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lance_assets.settings import RAY_VARIABLE, Home, Platform


def add(parser: ArgumentParser) -> None:
    parser.add_argument("act", choices=["up", "down"], help="start it, or end the one that was started here")
    parser.set_defaults(main=main)


def record_of(home: Home) -> Path:
    """Where the pid and address of the home's head are kept."""
    return home.root / "ray.json"


def main(flags: Namespace) -> int:
    from lance_assets.compute.head import start_head, stop_head

    home = Home.find(flags.home)
    if flags.act == "down":
        stopped = stop_head(record_of(home))
        print(json.dumps({"stopped": stopped}) if flags.json else ("stopped" if stopped else "no head was running"))
        return 0
    home.create()
    head = start_head(record_of(home), Platform(home).config().ray.num_cpus, home.root / "ray.log")
    text = f"Ray at {head.address}, pid {head.pid}. Let runs join it: export {RAY_VARIABLE}={head.address}"
    print(json.dumps({"address": head.address, "pid": head.pid}) if flags.json else text)
    return 0
