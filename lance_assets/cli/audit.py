"""`lance-assets audit row ID | column NAME | failures NAME | stale`: where a row, its image and its labels come from,
why rows have no label, and which labels the daemon would renew."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform

if TYPE_CHECKING:
    from lance_assets.store.files import DataRoot

#: What is named after each kind; None = nothing.
KINDS = {"row": "ID", "column": "NAME", "failures": "NAME", "stale": None}


def add(parser: ArgumentParser) -> None:
    parser.add_argument("kind", choices=list(KINDS), help="what to explain")
    parser.add_argument("name", metavar="ID|NAME", nargs="?", help="the row's id, or the score column's name")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Reads the data (and for `stale` platform.yaml): no Dagster, no Ray. Raises BadInput."""
    wanted = KINDS[flags.kind]
    if (wanted is None) != (flags.name is None):
        said = f"audit {flags.kind} needs {wanted}" if wanted else f"audit {flags.kind} needs no name"
        raise BadInput(f"{said} (see lance-assets audit --help)")
    # Lance is imported only now, so that a mistyped flag answers at once.
    from lance_assets.audit import column, failures, row
    from lance_assets.store.files import DataRoot
    from lance_assets.store.objects import reachable

    home = Home.find(flags.home)
    root = DataRoot(home.data)
    with reachable(root.uri):
        if flags.kind == "row":
            found = row.audit_row(root, flags.name)
            lines = row.words(found)
        elif flags.kind == "failures":
            found = failures.audit_failures(root, flags.name)
            lines = failures.words(found)
        elif flags.kind == "stale":
            found, lines = _stale(root, home, flags)
        else:
            found = column.audit_column(root, flags.name)
            lines = column.words(found)
    print(json.dumps(found, ensure_ascii=False, default=str) if flags.json else "\n".join(lines))
    return 0


def _stale(root: DataRoot, home: Home, flags: Namespace) -> tuple[dict[str, Any], list[str]]:
    from lance_assets.audit.stale import audit_stale, words
    from lance_assets.compute.label import identity_of
    from lance_assets.compute.scorers import platform_scorers

    platform = Platform(home)
    identities = [identity_of(scorer) for scorer in platform_scorers(platform).values()]
    found = audit_stale(root, identities, platform.config().automation.paused)
    return found, words(found)
