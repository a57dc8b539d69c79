"""Errors that a person is meant to read. They import nothing, so that every room can raise them."""


class BadInput(Exception):
    """Something that the user gave cannot be used.

    The message is one sentence that names what (row, file, setting) and where. The command line prints it alone and
    exits with code 2; nothing was written.
    """


class MissingExtra(BadInput):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package}: pip install 'lance_assets[{extra}]'")
