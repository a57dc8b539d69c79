"""What the store asks of an object store beyond lance_assets.objects, whose names are also found here."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

import obstore

from lance_assets.objects import bucket, in_one_line, reachable

if TYPE_CHECKING:
    from obstore import ReadableFile

__all__ = ["bucket", "in_one_line", "open_object", "reachable", "read_object", "typed"]

#: A footer of parquet with its last words in one request.
READ_BYTES = 1 << 16


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
