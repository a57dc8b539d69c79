"""Object stores: one client per URI, configured by the environment alone, whose errors are one line for people."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

import obstore
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from lance_assets.errors import Unreachable, Unwritable

if TYPE_CHECKING:
    from obstore import ReadableFile
    from obstore.store import ObjectStore

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
#: A footer of parquet with its last words in one request.
READ_BYTES = 1 << 16


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


class At(Protocol):
    """Something with a URI: a DataRoot."""

    @property
    def uri(self) -> str: ...


Root = TypeVar("Root", bound=At)
Args = ParamSpec("Args")
Result = TypeVar("Result")


def typed(function: Callable[Concatenate[Root, Args], Result]) -> Callable[Concatenate[Root, Args], Result]:
    """For a function whose first argument is a root: what the store there does not do is Unreachable or Unwritable."""

    @wraps(function)
    def call(root: Root, /, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        with reachable(root.uri):
            return function(root, *args, **kwargs)

    return call


@cache
def bucket(uri: str, retry_s: float = 60) -> ObjectStore:
    """The client of a store; names are relative to `uri`. What fails in passing is asked for again, for `retry_s`
    seconds. Client options given here would switch off those of the environment (AWS_ALLOW_HTTP), so there are none."""
    with reachable(uri):
        return from_url(uri, retry_config={"max_retries": 10, "retry_timeout": timedelta(seconds=retry_s)})


def read_object(uri: str, name: str) -> bytes:
    """Raises FileNotFoundError, Unreachable."""
    with reachable(uri), _found(uri, name):
        return obstore.get(bucket(uri), name).bytes().to_bytes()


def open_object(uri: str, name: str) -> io.BufferedReader:
    """A seekable file that fetches what is read, 64 KiB at least. Raises FileNotFoundError, Unreachable."""
    with reachable(uri), _found(uri, name):
        return io.BufferedReader(_Seekable(uri, obstore.open_reader(bucket(uri), name, buffer_size=READ_BYTES)))


@contextmanager
def _found(uri: str, name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if "<Code>NoSuchBucket<" in str(error):
            raise
        raise FileNotFoundError(f"{uri}/{name} does not exist") from None


class _Seekable(io.RawIOBase):
    """What obstore opens, as the raw file that io and pyarrow know."""

    def __init__(self, uri: str, file: ReadableFile) -> None:
        self.uri, self.file = uri, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readinto(self, buffer: memoryview) -> int:
        with reachable(self.uri):
            data = self.file.read(len(buffer)).to_bytes()
        buffer[: len(data)] = data
        return len(data)


def in_one_line(text: str) -> str:
    if answer := XML.search(text):
        return f"{answer[1]}: {answer[2]}"
    line = text.strip().splitlines()[0].removeprefix("LanceError(IO): ")
    return SECRET.sub("", PLACE.sub("", GENERIC.sub("", line)))
