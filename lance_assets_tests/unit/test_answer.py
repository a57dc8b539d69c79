"""The header of an answer: what it says, and what is no header."""

from __future__ import annotations

import io
import socket
from http.client import BadStatusLine, HTTPException, LineTooLong, RemoteDisconnected

import pytest

from lance_assets.ingest.answer import Response, read_headers


def answered(said: bytes) -> Response:
    """The answer that a server gives by these bytes before it ends the connection."""
    ours, theirs = socket.socketpair()  # ours lives as long as the answer
    with theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        response = Response(ours)
        response.begin()
        return response


def header(lines: bytes) -> dict[str, list[str]]:
    found = read_headers(io.BufferedReader(io.BytesIO(lines + b"\r\n")))
    return {name: found.get_all(name) for name in ("x-one", "X-Two")}


def test_fields_are_found_in_any_case_first_one_first():
    assert header(b"X-ONE: a\r\nx-two:b\r\nX-One:  c \r\n") == {"x-one": ["a", "c"], "X-Two": ["b"]}


def test_a_folded_line_goes_on_with_the_one_before():
    assert header(b"X-One: a\r\n  b\r\n\tc\r\nX-Two: d\r\n") == {"x-one": ["a b c"], "X-Two": ["d"]}


@pytest.mark.parametrize("line", [b"no colon\r\n", b": no name\r\n", b"space before : colon\r\n", b" folded first\r\n"])
def test_what_is_no_field_is_refused(line):
    with pytest.raises(HTTPException, match="is no header field"):
        header(line)


def test_headers_without_an_end_are_refused():
    with pytest.raises(LineTooLong):
        header(b"X-One: " + b"a" * 70_000 + b"\r\n")
    with pytest.raises(HTTPException, match="more than 100"):
        header(b"X-One: a\r\n" * 200)


@pytest.mark.parametrize(
    ("said", "length", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 3, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: Close\r\n\r\nabc", 3, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", None, True),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", None, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 3, True),
        (b"HTTP/1.0 200\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc", 3, False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 3, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", None, False),
    ],
)
def test_the_body_ends_where_the_header_says(said, length, closes):
    response = answered(said)
    assert (response.status, response.length, response.will_close) == (200, length, closes)
    assert response.read() == b"abc"


def test_an_answer_without_a_body_has_none():
    response = answered(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n")
    assert (response.length, response.read()) == (0, b"")


@pytest.mark.parametrize("line", [b"<html>hello", b"HTTP/2 200 OK\r\n", b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 x\r\n"])
def test_what_is_no_answer_is_refused(line):
    with pytest.raises(BadStatusLine):
        answered(line)


def test_a_connection_that_ends_without_an_answer_is_told():
    with pytest.raises(RemoteDisconnected):
        answered(b"")
