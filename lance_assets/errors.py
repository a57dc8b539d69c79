"""Errors that a person is meant to read. They import nothing, so that every room can raise them."""

import re

#: Colours that Ray puts into its messages.
ANSI = re.compile(r"\x1b\[[0-9;]*m")
#: Of an error that is a sentence already, the type says nothing to people.
OWN = re.compile(
    r"(?:RayTaskError\((?:BadInput|MissingExtra)\): )?(?:lance_assets\.errors\.)?\b(?:BadInput|MissingExtra): "
)


class BadInput(Exception):
    """Something that the user gave cannot be used.

    The message is one sentence that names what (row, file, setting) and where. The command line prints it alone and
    exits with code 2; nothing was written.
    """


class MissingExtra(BadInput):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package}: pip install 'lance_assets[{extra}]'")


def in_one_line(text: str) -> str:
    """An error's text for people: its first line; of a traceback sent by Ray, the line that says what it was."""
    lines = [line.strip() for line in ANSI.sub("", text).splitlines() if line.strip()]
    if not lines:
        return "no reason was given"
    before, ray, _ = lines[0].partition("ray::")
    line = before + lines[-1] if ray else lines[0]
    return OWN.sub("", line)
