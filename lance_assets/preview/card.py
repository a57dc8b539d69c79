"""The data card for people, as Markdown or as a page of its own: one list of sections, rendered twice.

Everything that comes from outside (names, hosts, licences, reasons) is text, and shown, never obeyed.
"""

from __future__ import annotations

import html as html_escape
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lance_assets.preview.sheet import escaped

CELL = 200
BLOCKS = "▁▂▃▄▅▆▇█"
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left;
vertical-align:top;overflow-wrap:anywhere}th{background:#f4f5f7}h1{margin-bottom:0}svg{display:block}"""


@dataclass(frozen=True)
class Bars:
    """A small histogram."""

    counts: Sequence[int]


Cell = str | Bars


@dataclass(frozen=True)
class Table:
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Section:
    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = field(default_factory=list)


def markdown(card: Mapping[str, Any]) -> str:
    """GitHub-flavoured; histograms are lines of block characters."""
    out = [f"# Data card of {escaped(card['name'], CELL)}"]
    for section in sections(card):
        out += ["", f"## {section.title}"]
        out += ["", *(f"{escaped(line, CELL)}  " for line in section.lines)] if section.lines else []
        for table in section.tables:
            rows = [table.header, ["---"] * len(table.header)]
            rows += [
                [_spark(cell) if isinstance(cell, Bars) else escaped(cell, CELL) for cell in r] for r in table.rows
            ]
            out += ["", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(out) + "\n"


def html(card: Mapping[str, Any]) -> str:
    """One page that loads nothing from elsewhere and runs no script."""
    title = f"Data card of {html_escape.escape(card['name'])}"
    body = [f"<h1>{title}</h1>"]
    for section in sections(card):
        body.append(f"<h2>{section.title}</h2>")
        body += [f"<p>{html_escape.escape(line)}</p>" for line in section.lines]
        for table in section.tables:
            head = "".join(f"<th>{html_escape.escape(name)}</th>" for name in table.header)
            rows = "".join(f"<tr>{''.join(f'<td>{_html(cell)}</td>' for cell in row)}</tr>\n" for row in table.rows)
            body.append(f"<table>\n<tr>{head}</tr>\n{rows}</table>")
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    head = f'<meta charset="utf-8">{policy}<title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def _spark(bars: Bars) -> str:
    top = max(bars.counts, default=0)
    return "".join(" " if not n else BLOCKS[min(7, 8 * n // (top + 1))] for n in bars.counts).replace(" ", "·")


def _html(cell: Cell) -> str:
    if isinstance(cell, str):
        return html_escape.escape(cell)
    top = max(cell.counts, default=0) or 1
    bars = "".join(
        f'<rect x="{6 * at}" y="{36 - height}" width="5" height="{height}" fill="#4f7cac"/>'
        for at, n in enumerate(cell.counts)
        if (height := -(-36 * n // top))
    )
    return f'<svg width="{6 * len(cell.counts)}" height="36" role="img" aria-label="histogram">{bars}</svg>'


def sections(card: Mapping[str, Any]) -> list[Section]:
    return [
        _table_of(card),
        Section("Sources", tables=[_sources(card), _counts("host", card["hosts"])]),
        _rights(card["rights"]),
        _pictures(card),
        *_scores(card["scores"]),
        _duplicates(card["duplicates"]),
        Section("Rejected rows", *_or_none("no row was rejected", _counts("reason", card["rejected"]))),
        _versions(card),
        _training(card),
    ]


def _table_of(card: Mapping[str, Any]) -> Section:
    size = {name: f"{count / 1e6:,.1f} MB" for name, count in card["bytes"].items()}
    rows = [
        ["table", f"{card['table']}, version {card['version']}"],
        ["rows", f"{card['rows']:,} in {card['batches']:,} batches, {card['fragments']:,} fragments"],
        ["size", f"{size['images']} of images and captions, {size['labels']} of labels"],
        ["counted", card["made"]],
    ]
    return Section("Table", tables=[Table(["what", "value"], rows)])


def _sources(card: Mapping[str, Any]) -> Table:
    names = ("batches", "asked", "stored", "rejected")
    rows = []
    for one in card["sources"]:
        files = [f"{path} ({sha256[:8]})" if sha256 else path for path, sha256 in list(one["files"].items())[:3]]
        left = len(one["files"]) - len(files)
        said = ", ".join(files) + (f" and {left} more" if left else "")
        rows.append([one["source"], *(f"{one[name]:,}" for name in names), said])
    return Table(["source", *names, "files"], rows)


def _rights(rights: Mapping[str, Any]) -> Section:
    licences = {name or "nothing said": count for name, count in rights["licences"].items()}
    lines = [f"Of {rights['asked']:,} rows it is recorded what the server of the image answered."]
    if rights["unreadable"]:
        lines.append(f"The captions of {len(rights['unreadable'])} batches are gone, and so are their licences.")
    if not rights["opt_outs"]:
        lines.append("No host said anything against use.")
    tables = [_counts("licence", licences), _counts("said against use", rights["opt_outs"])]
    return Section("Rights", lines, [table for table in tables if table.rows])


def _pictures(card: Mapping[str, Any]) -> Section:
    captions = card["captions"]
    rows = [[f"{name}, pixels", *_numbers(card["pictures"][name])] for name in ("width", "height")]
    rows.append(["caption, characters", *_numbers(captions["characters"])])
    lines = [
        f"{captions['missing']:,} rows have no caption of their own, {card['placeholders']:,} are placeholders "
        "for an image that could not be had."
    ]
    return Section("Images and captions", lines, [_counts("format", card["formats"]), Table(["what", *NUMBERS], rows)])


NUMBERS = ("count", "mean", "min", "p05", "p50", "p95", "max")


def _numbers(said: Mapping[str, Any]) -> list[str]:
    return ["-" if said[name] is None else f"{said[name]:,g}" for name in NUMBERS]


def _scores(scores: Sequence[Mapping[str, Any]]) -> list[Section]:
    made = [
        [
            one["column"],
            one["type"] if len(one["type"]) < 40 else f"{one['type'][:37]}...",
            f"{maker['scorer']} {maker['version']}",
            maker["config_hash"][:12],
            ", ".join(f"{count:,} {state}" for state, count in maker["rows"].items() if count) or "0",
            str(maker["last"]),
        ]
        for one in scores
        for maker in one["makers"]
    ]
    never = [f"{one['column']}: {one['never_scored']:,} rows never scored." for one in scores if one["never_scored"]]
    spread = [
        [one["column"], *_numbers(one["numbers"]), Bars(one["numbers"]["bars"]), _range(one["numbers"])]
        for one in scores
        if one["numbers"]
    ]
    named = [
        [one["column"], ", ".join(f"{value} {count:,}" for value, count in one["values"].items())]
        for one in scores
        if one["values"]
    ]
    tables = [
        Table(["column", "type", "scorer", "config", "rows", "last scored"], made),
        Table(["column", *NUMBERS, "distribution", "over"], spread),
        Table(["column", "commonest values"], named),
    ]
    return [Section("Scores", never, [table for table in tables if table.rows])] if scores else []


def _range(numbers: Mapping[str, Any]) -> str:
    return f"{numbers['low']:g} to {numbers['high']:g}"


def _duplicates(said: Mapping[str, int] | None) -> Section:
    if said is None:
        return Section("Duplicates", ["Nobody compared the images."])
    line = (
        f"{said['exact']:,} rows have the very bytes of an earlier one, {said['near']:,} look like one, "
        f"{said['not_compared']:,} were not compared yet."
    )
    return Section("Duplicates", [line])


def _versions(card: Mapping[str, Any]) -> Section:
    rows = [[one["tag"], str(one["version"]), one["reason"]] for one in card["tags"]]
    lines = [f"The newest version is {card['version']}; {card['versions_kept']} versions are kept."]
    return Section("Versions", lines, [Table(["tag", "version", "reason"], rows)] if rows else [])


def _training(card: Mapping[str, Any]) -> Section:
    rows = [
        [
            one["tag"],
            str(one["version"]),
            str(one["created"]),
            *(f"{one['rows'][side]:,}" for side in ("train", "test")),
            ", ".join(f"{count:,} {reason}" for reason, count in (one["excluded"] or {}).items() if count) or "-",
            str(one["filter"]),
        ]
        for one in card["training_sets"]
    ]
    header = ["training set", "version", "pinned", "train", "held out", "left out", "filter"]
    lines, tables = _or_none("no training set was pinned", Table(header, rows))
    made = [[one["tag"], one["path"]] for one in card["checkpoints"]]
    more = [Table(["training set", "checkpoint"], made)] if made else []
    return Section("Training sets", lines, [*tables, *more])


def _counts(what: str, counts: Mapping[str, int]) -> Table:
    total = sum(counts.values())
    return Table([what, "rows", "share"], [[str(n or "-"), f"{c:,}", f"{c / total:.1%}"] for n, c in counts.items()])


def _or_none(nothing: str, table: Table) -> tuple[list[str], list[Table]]:
    return ([], [table]) if table.rows else ([f"{nothing[0].upper()}{nothing[1:]}."], [])
