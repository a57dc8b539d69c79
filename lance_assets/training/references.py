"""References to images in Lance: short strings that stand in a data set where the bytes would be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

from lance_assets.errors import BadInput
from lance_assets.training import access, stats

PREFIX = "lance-row:"
#: LLaMA-Factory asks for each image twice, to count its tokens and to train on it; where the rows stream, the second
#: time comes soon after the first. So many bytes are kept for it in each process.
KEPT_BYTES = 16 << 20


class Reference(NamedTuple):
    """One image: the `item`-th of column `column` in the row with stable id `row`; `name` is the data set's."""

    uri: str
    version: int
    column: str
    row: int
    item: int
    name: str = ""

    def __str__(self) -> str:
        place = f"{self.version}&{quote(self.column)}&{self.row}&{self.item}&{quote(self.name)}"
        return f"{PREFIX}{quote(self.uri)}?{place}"


def is_reference(image: object) -> bool:
    return isinstance(image, str) and image.startswith(PREFIX)


def parse(text: str) -> Reference:
    uri, _, rest = text.removeprefix(PREFIX).rpartition("?")
    version, column, row, item, name = rest.split("&")
    return Reference(unquote(uri), int(version), unquote(column), int(row), int(item), unquote(name))


class _Kept:
    """The images fetched last, up to KEPT_BYTES."""

    def __init__(self) -> None:
        self.images: OrderedDict[str, bytes] = OrderedDict()
        self.bytes = 0

    def add(self, text: str, image: bytes) -> None:
        self.images[text] = image
        self.bytes += len(image)
        while self.bytes > KEPT_BYTES:
            self.bytes -= len(self.images.popitem(last=False)[1])


_kept = _Kept()


def resolve(texts: Sequence[str]) -> list[bytes]:
    """The encoded images of the references, in order: one read per table, version and column. Raises BadInput."""
    found = {text: _kept.images[text] for text in texts if text in _kept.images}
    missing = {text: parse(text) for text in dict.fromkeys(texts) if text not in found}
    for group in dict.fromkeys(reference[:3] for reference in missing.values()):
        members = {text: reference for text, reference in missing.items() if reference[:3] == group}
        images, read = access.fetch(*group, [reference.row for reference in members.values()])
        stats.note(columns=[group[2]], images=len(members), bytes=read)
        for (text, reference), many in zip(members.items(), images, strict=True):
            if reference.item >= len(many):
                raise BadInput(
                    f"{reference.uri} version {reference.version}: the row with row id {reference.row} shows more "
                    f"images in its text than its {reference.column} has, which are {len(many)}"
                )
            found[text] = many[reference.item]
            _kept.add(text, found[text])
    return [found[text] for text in texts]
