"""The aws-chunked content coding, decoded strictly and piece by piece.

    body    := chunk* final trailer* CRLF
    chunk   := size [";chunk-signature=" signature] CRLF data CRLF
    final   := "0"  [";chunk-signature=" signature] CRLF
    trailer := name ":" value CRLF             the last one is x-amz-trailer-signature where chunks are signed
    size    := 1 to 16 hexadecimal digits

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import re
from collections.abc import Callable
from enum import Enum, auto
from hashlib import sha256
from typing import Final, Protocol

from gateway.errors import Code, S3Error

MIN_CHUNK_SIZE: Final = 8192
"""Bytes; every data chunk but the last has at least as many."""

MAX_SIZE_LINE: Final = 128
"""Bytes; the longest line that can be right has 16 + 17 + 64 + 2."""

MAX_TRAILER_LINE: Final = 1024

TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"

_SIGNED_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16});chunk-signature=([0-9a-f]{64})\r\n", re.ASCII)
_UNSIGNED_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n", re.ASCII)
_TRAILER = re.compile(rb"([0-9A-Za-z-]{1,128}):[ \t]*((?:[!-~](?:[ -~\t]*[!-~])?)?)[ \t]*(\r?)\n", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EMPTY_SHA256 = sha256(b"").hexdigest()


class ChunkSignatures(Protocol):
    """The chain of signatures of one request; both methods raise S3Error SignatureDoesNotMatch."""

    def verify_chunk(self, sha256_hex: str, signature: str) -> None: ...

    def verify_trailer(self, canonical_trailer: bytes, signature: str) -> None: ...


class _State(Enum):
    SIZE = auto()  # a size line is next
    DATA = auto()  # data of a chunk is next
    DATA_END = auto()  # the CRLF behind it is next
    TRAILERS = auto()  # a trailer or the empty line is next
    SIGNATURE = auto()  # x-amz-trailer-signature is next: trailers that end in LF have an empty line before it
    LAST_CRLF = auto()  # the empty line behind x-amz-trailer-signature is next
    DONE = auto()


class AwsChunkedDecoder:
    """Takes pieces of an aws-chunked body and gives back pieces of the content.

    `decoded_length` is x-amz-decoded-content-length in bytes. `signatures` is None for
    STREAMING-UNSIGNED-PAYLOAD-TRAILER. `trailer_names` are the announced trailers (x-amz-trailer) in lower case;
    each must come, once, and no other may.

    Content is passed on as it comes, but for the piece that ends a chunk, which waits for the chunk's signature: a
    reader that has not seen `done` has nothing that it may keep. No more than one line is ever held.
    """

    def __init__(
        self, decoded_length: int, *, signatures: ChunkSignatures | None, trailer_names: frozenset[str] = frozenset()
    ) -> None:
        self.trailers: dict[str, str] = {}
        self._decoded_length = decoded_length
        self._signatures = signatures
        self._trailer_names = trailer_names
        self._state = _State.SIZE
        self._readers: dict[_State, Callable[[bytes], None]] = {
            _State.SIZE: self._size_line,
            _State.DATA_END: self._data_end,
            _State.TRAILERS: self._trailer_line,
            _State.SIGNATURE: self._signature_line,
            _State.LAST_CRLF: self._last_crlf,
            _State.DONE: self._after_the_end,
        }
        self._line = b""  # the beginning of a line whose end has not come yet
        self._announced = 0  # content bytes that size lines have promised so far
        self._chunks = 0
        self._chunk_size = 0
        self._left = 0  # bytes of the current chunk that have not come yet
        self._hash = sha256()
        self._chunk_signature = ""
        self._canonical_trailer = b""
        self._ends_in_lf = False

    @property
    def done(self) -> bool:
        """The whole body has come, and everything in it held."""
        return self._state is _State.DONE

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes | bytearray | memoryview]:
        """Decode the next bytes, split anywhere; the pieces given back may be views of `data`.

        Raises S3Error: IncompleteBody (not in this coding, or another length than announced), InvalidChunkSizeError,
        MalformedTrailerError, SignatureDoesNotMatch. After an error the decoder is of no further use.
        """
        pieces: list[bytes | bytearray | memoryview] = []
        view = memoryview(data)
        position, end = 0, len(view)
        while position < end:
            if self._state is _State.DATA:
                size = min(self._left, end - position)
                piece = data if size == end else view[position : position + size]
                self._data(piece, size)
                pieces.append(piece)
                position += size
            else:
                position = self._read_line(view, position)
        return pieces

    def finish(self) -> None:
        """The input has ended. Raises S3Error: IncompleteBody when that is too early."""
        if self._state is not _State.DONE or self._line:
            raise self._incomplete(self._announced - self._left)

    def _read_line(self, view: memoryview, position: int) -> int:
        in_trailers = self._state in (_State.TRAILERS, _State.SIGNATURE)
        limit = MAX_TRAILER_LINE if in_trailers else MAX_SIZE_LINE
        window = bytes(view[position : position + limit - len(self._line)])
        newline = window.find(b"\n")
        if newline < 0:
            self._line += window
            if len(self._line) >= limit:
                raise S3Error(Code.MalformedTrailerError) if in_trailers else self._incomplete(self._announced)
            return position + len(window)
        line, self._line = self._line + window[: newline + 1], b""
        self._readers[self._state](line)
        return position + newline + 1

    def _size_line(self, line: bytes) -> None:
        match = (_UNSIGNED_SIZE if self._signatures is None else _SIGNED_SIZE).fullmatch(line)
        if match is None:
            raise self._incomplete(self._announced)
        size = int(match[1], 16)
        if self._signatures is not None:
            self._chunk_signature = match[2].decode("ascii")
        if size == 0:
            self._final_chunk()
            return
        if self._chunks and self._chunk_size < MIN_CHUNK_SIZE:
            raise S3Error(Code.InvalidChunkSizeError, Chunk=self._chunks, BadChunkSize=self._chunk_size)
        if self._announced + size > self._decoded_length:
            raise self._incomplete(self._announced + size)
        self._chunks += 1
        self._chunk_size = self._left = size
        self._announced += size
        self._state = _State.DATA

    def _data(self, piece: bytes | bytearray | memoryview, size: int) -> None:
        self._left -= size
        if self._signatures is not None:
            self._hash.update(piece)
        if self._left:
            return
        if self._signatures is not None:
            self._signatures.verify_chunk(self._hash.hexdigest(), self._chunk_signature)
            self._hash = sha256()
        self._state = _State.DATA_END

    def _data_end(self, line: bytes) -> None:
        if line != b"\r\n":
            raise self._incomplete(self._announced)
        self._state = _State.SIZE

    def _final_chunk(self) -> None:
        if self._announced != self._decoded_length:
            raise self._incomplete(self._announced)
        if self._signatures is not None:
            self._signatures.verify_chunk(_EMPTY_SHA256, self._chunk_signature)
        self._state = _State.TRAILERS

    def _trailer_line(self, line: bytes) -> None:
        if line == b"\r\n":
            self._empty_line()
            return
        name, value = self._parse_trailer(line)
        if name == TRAILER_SIGNATURE:
            self._trailer_signature(value)
            return
        if name in self.trailers or name not in self._trailer_names:
            raise S3Error(Code.MalformedTrailerError)
        self.trailers[name] = value
        self._canonical_trailer += f"{name}:{value}\n".encode("ascii")

    def _parse_trailer(self, line: bytes) -> tuple[str, str]:
        match = _TRAILER.fullmatch(line)
        if match is None:
            raise S3Error(Code.MalformedTrailerError)
        self._ends_in_lf = not match[3]
        return match[1].decode("ascii").lower(), match[2].decode("ascii")

    def _empty_line(self) -> None:
        if len(self.trailers) != len(self._trailer_names):
            raise S3Error(Code.MalformedTrailerError)
        if self._signatures is None or not self._trailer_names:
            self._state = _State.DONE
        elif self._ends_in_lf:
            self._state = _State.SIGNATURE
        else:
            raise S3Error(Code.MalformedTrailerError)

    def _signature_line(self, line: bytes) -> None:
        name, value = self._parse_trailer(line)
        if name != TRAILER_SIGNATURE:
            raise S3Error(Code.MalformedTrailerError)
        self._trailer_signature(value)

    def _trailer_signature(self, signature: str) -> None:
        complete = self.trailers and len(self.trailers) == len(self._trailer_names)
        if self._signatures is None or not complete or self._ends_in_lf or not _SIGNATURE.fullmatch(signature):
            raise S3Error(Code.MalformedTrailerError)
        self._signatures.verify_trailer(self._canonical_trailer, signature)
        self._ends_in_lf = False
        self._state = _State.LAST_CRLF

    def _last_crlf(self, line: bytes) -> None:
        if line != b"\r\n":
            raise S3Error(Code.MalformedTrailerError)
        self._state = _State.DONE

    def _after_the_end(self, line: bytes) -> None:
        # minio-go ends unsigned trailers with LF CRLF CRLF: one more empty line than the others.
        if not self._ends_in_lf or line != b"\r\n":
            raise self._incomplete(self._announced)
        self._ends_in_lf = False

    def _incomplete(self, provided: int) -> S3Error:
        return S3Error(
            Code.IncompleteBody,
            "The request body terminated unexpectedly",
            NumberBytesExpected=self._decoded_length,
            NumberBytesProvided=provided,
        )
