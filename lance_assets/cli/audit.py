"""`lance-assets audit row ID | column NAME | failures NAME`: where a row, its image and its labels come from, and why
rows have no label."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from lance_assets.settings import Home

KINDS = {"row": "ID", "column": "NAME", "failures": "NAME"}


def add(parser: ArgumentParser) -> None:
    parser.add_argument("kind", choices=list(KINDS), help="what to explain")
    parser.add_argument("name", metavar="ID|NAME", help="the row's id, or the score column's name")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Reads the data alone: no Dagster, no platform.yaml. Raises BadInput."""
    # Lance is imported only now, so that a mistyped flag answers at once.
    from lance_assets.audit import column, failures, row
    from lance_assets.store.files import DataRoot
    from lance_assets.store.objects import reachable

    root = DataRoot(Home.find(flags.home).data)
    with reachable(root.uri):
        if flags.kind == "row":
            found = row.audit_row(root, flags.name)
            lines = row.words(found)
        elif flags.kind == "failures":
            found = failures.audit_failures(root, flags.name)
            lines = failures.words(found)
        else:
            found = column.audit_column(root, flags.name)
            lines = column.words(found)
    print(json.dumps(found, ensure_ascii=False, default=str) if flags.json else "\n".join(lines))
    return 0
