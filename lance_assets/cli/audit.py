"""`lance-assets audit row ID | column NAME | failures NAME | version N | checkpoint DIR | stale | card`: where rows,
labels and checkpoints come from, and which labels the daemon would renew. No Dagster, no Ray, no torch."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform

if TYPE_CHECKING:
    from lance_assets.store.files import DataRoot

#: What is named after each kind; None = nothing.
KINDS = {
    "row": "ID",
    "column": "NAME",
    "failures": "NAME",
    "version": "N",
    "checkpoint": "DIR",
    "stale": None,
    "card": None,
}
Answer = tuple[dict[str, Any], list[str]]


def add(parser: ArgumentParser) -> None:
    parser.add_argument("kind", choices=list(KINDS), help="what to explain; card: the whole table, as a data card")
    parser.add_argument(
        "name",
        metavar="ID|NAME|N|DIR",
        nargs="?",
        help="the row's id, the score column's name, the version's number, the checkpoint's folder",
    )
    parser.add_argument(
        "--why", action="store_true", help="row: why it was or was not selected for training, clause by clause"
    )
    parser.add_argument("--html", action="store_true", help="card: a page of its own instead of Markdown")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Raises BadInput."""
    wanted = KINDS[flags.kind]
    if (wanted is None) != (flags.name is None):
        said = f"audit {flags.kind} needs {wanted}" if wanted else f"audit {flags.kind} needs no name"
        raise BadInput(f"{said} (see lance-assets audit --help)")
    for flag, kind in (("why", "row"), ("html", "card")):
        if getattr(flags, flag) and flags.kind != kind:
            raise BadInput(f"--{flag} belongs to audit {kind}, not to audit {flags.kind}")
    # Lance is imported only now, so that a mistyped flag answers at once.
    from lance_assets.store.files import DataRoot
    from lance_assets.store.objects import reachable

    home = Home.find(flags.home)
    root = DataRoot(home.data)
    kinds: dict[str, Callable[[DataRoot, Home, Namespace], Answer]] = {
        "row": _row,
        "column": _column,
        "failures": _failures,
        "version": _version,
        "checkpoint": _checkpoint,
        "stale": _stale,
        "card": _card,
    }
    with reachable(root.uri):
        found, lines = kinds[flags.kind](root, home, flags)
    print(json.dumps(found, ensure_ascii=False, default=str) if flags.json else "\n".join(lines))
    return 0


def _row(root: DataRoot, home: Home, flags: Namespace) -> Answer:
    from lance_assets.audit.row import audit_row, words
    from lance_assets.audit.trained import Trained
    from lance_assets.compute.checkpoints import finished_checkpoints
    from lance_assets.compute.scorers import labelled_by

    trained = [Trained(**vars(one)) for one in finished_checkpoints(home.checkpoints)]
    found = audit_row(root, flags.name, trained, labelled_by(Platform(home)))
    if not flags.why:
        return found, words(found)
    from lance_assets.audit.why import audit_why, why_words
    from lance_assets.compute.groups import content_groups
    from lance_assets.compute.label import identity_of
    from lance_assets.compute.scorers import platform_scorers

    platform = Platform(home)
    scorers, sft = platform_scorers(platform), platform.config().sft
    identities = [identity_of(scorer) for scorer in scorers.values()]
    groups = content_groups(platform, scorers)
    found["why"] = audit_why(root, found, sft.filter, sft.split, groups, identities)
    return found, [*words(found), *why_words(found["why"])]


def _column(root: DataRoot, home: Home, flags: Namespace) -> Answer:
    from lance_assets.audit.column import audit_column, words

    found = audit_column(root, flags.name)
    return found, words(found)


def _failures(root: DataRoot, home: Home, flags: Namespace) -> Answer:
    from lance_assets.audit.failures import audit_failures, words

    found = audit_failures(root, flags.name)
    return found, words(found)


def _version(root: DataRoot, home: Home, flags: Namespace) -> Answer:
    from lance_assets.audit.version import audit_version, words

    if not flags.name.isascii() or not flags.name.isdigit():
        raise BadInput(f"audit version: {flags.name!r} is not the number of a version")
    found = audit_version(root, int(flags.name))
    return found, words(found)


def _checkpoint(root: DataRoot, home: Home, flags: Namespace) -> Answer:
    from lance_assets.audit.checkpoint import Checkpoint, audit_checkpoint
    from lance_assets.audit.checkpoint_words import words
    from lance_assets.training.artifacts import read_artifacts

    named, own = Path(flags.name).expanduser(), home.checkpoints / flags.name
    beside = read_artifacts(own if own.exists() and not named.exists() else named)
    found = audit_checkpoint(root, Checkpoint(**{**vars(beside), "path": str(beside.path)}))
    return found, words(found)


def _stale(root: DataRoot, home: Home, flags: Namespace) -> Answer:
    from lance_assets.audit.stale import audit_stale, words
    from lance_assets.compute.label import identity_of
    from lance_assets.compute.scorers import platform_scorers

    platform = Platform(home)
    identities = [identity_of(scorer) for scorer in platform_scorers(platform).values()]
    found = audit_stale(root, identities, platform.config().automation.paused)
    return found, words(found)


def _card(root: DataRoot, home: Home, flags: Namespace) -> Answer:
    from lance_assets.audit.card import data_card
    from lance_assets.compute.checkpoints import finished_checkpoints
    from lance_assets.preview.card import html, markdown

    found = data_card(root, [{"path": one.path, "tag": one.tag} for one in finished_checkpoints(home.checkpoints)])
    return found, [(html(found) if flags.html else markdown(found)).rstrip()]
