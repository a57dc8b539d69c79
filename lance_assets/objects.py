"""Object stores: one client per URI, configured by the environment alone, whose errors are one line for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from lance_assets.errors import Unreachable, Unwritable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Schemes of the addresses that are read and written; only s3 is tested.
OBJECT_STORES = ("s3", "gs", "az")
#: The answer of S3, and of what is compatible with it.
XML = re.compile(r"<Code>(\w+)</Code>\s*<Message>([^<]*)")
#: How object_store, which is also inside Lance, calls the failure of a store that is no folder.
GENERIC = re.compile(r"Generic (S3|GCS|MicrosoftAzure) error: ")
#: A user and password, or a query with signatures, inside an address.
SECRET = re.compile(r"(?<=//)[^/@\s]*@|\?\S*")
#: Lance ends its errors with the place in its own source.
PLACE = re.compile(r", \S+\.rs:\d+:\d+$")
#: Why the operating system lets nobody write, in the words that Python and Lance pass on.
UNWRITABLE = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|Read-only file system|Permission denied"
)


@contextmanager
def reachable(uri: str) -> Iterator[None]:
    """Turns what obstore and Lance raise when the store at `uri` does not work into Unreachable, and into Unwritable
    where it is a folder that takes nothing more.

    The original goes with its debug output, which shows addresses with user and password.
    """
    try:
        yield
    except Unreachable:  # said already, further in
        raise
    except (GenericError, PermissionDeniedError, UnauthenticatedError) as error:
        raise Unreachable(f"the object store {uri} does not answer: {in_one_line(str(error))}") from None
    except (OSError, ValueError, RuntimeError) as error:
        text = str(error)
        if "://" not in uri and (why := UNWRITABLE.search(text)):
            raise Unwritable(f"{uri} cannot be used: {why[0]}") from error
        if "://" not in uri or not (GENERIC.search(text) or "<Code>NoSuchBucket<" in text):
            raise
        raise Unreachable(f"the object store {uri} does not answer: {in_one_line(text)}") from None


@cache
def bucket(uri: str, retry_s: float = 60) -> ObjectStore:
    """The client of a store; names are relative to `uri`. What fails in passing is asked for again, for `retry_s`
    seconds. Client options given here would switch off those of the environment (AWS_ALLOW_HTTP), so there are none."""
    with reachable(uri):
        return from_url(uri, retry_config={"max_retries": 10, "retry_timeout": timedelta(seconds=retry_s)})


def in_one_line(text: str) -> str:
    """What a store or Lance says, for people: without places in its source, users, passwords and signatures."""
    if answer := XML.search(text):
        return f"{answer[1]}: {answer[2]}"
    line = text.strip().splitlines()[0].removeprefix("LanceError(IO): ")
    return SECRET.sub("", PLACE.sub("", GENERIC.sub("", line)))
