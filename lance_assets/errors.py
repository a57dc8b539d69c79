"""Errors that a person is meant to read. They import nothing, so that every room can raise them."""

import re

#: Colours that Ray puts into its messages.
ANSI = re.compile(r"\x1b\[[0-9;]*m")
#: The line of a traceback that says what was raised; what Ray wrapped around it is of no interest.
RAISED = re.compile(r"^(?!ray\.exceptions\.)(?:\w+\.)*[A-Z]\w*: \S")
#: Of an error that is a sentence already, the type says nothing to people.
OWN = re.compile(r"^(?:lance_assets\.(?:\w+\.)+)?(?:BadInput|HeldBack|MissingExtra|Unusable): ")


class BadInput(Exception):
    """Something that the user gave cannot be used.

    The message is one sentence that names what (row, file, setting) and where. The command line prints it alone and
    exits with code 2; nothing was written.
    """


class MissingExtra(BadInput):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package}: pip install 'lance_assets[{extra}]'")


class Failed(RuntimeError):
    """A process that works for us ended badly. One line; its own output says why."""


class Busy(RuntimeError):
    """Somebody else holds the claim on what we need. One line; the same again later may go through."""


class Unreachable(RuntimeError):
    """The object store is gone, refuses us, or has no such bucket. One line, without credentials."""


class Unwritable(Unreachable):
    """A disk is full, or a folder is read-only or not ours. One line; what was stored before stays readable."""


def in_one_line(text: str) -> str:
    """An error's text for people: its first line; of a traceback sent by Ray, the line that says what was raised."""
    lines = [line.rstrip() for line in ANSI.sub("", text).splitlines() if line.strip()]
    if not lines:
        return "no reason was given"
    raised = [line for line in lines[1:] if RAISED.match(line)] if "ray::" in text else []
    return OWN.sub("", raised[-1] if raised else lines[0].strip())
