"""An upload's bytes: plain, gzip, or a zip with exactly one member, inflated under limits that are counted on the way.

The zip structure is checked here by hand: zipfile in Python before 3.11.8 reads overlapping members, and accepts
anything before and between them. Here one local header starts the file and everything else follows without a gap.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from pathlib import Path
from typing import NoReturn

from evaluator.errors import PredictionError, Problem
from evaluator.reading.upload_rules import MOST_BYTES, problem

RATIO = 100
RATIO_COUNTS_ABOVE = 64 << 20
CHUNK = 1 << 16

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
DESCRIPTOR_SIZES = (12, 16)
MEMBER_NAME = re.compile(r"[^/\\:\0]+\.json(\.gz)?", re.IGNORECASE)
ONE_MEMBER = "a zip with exactly one .json or .json.gz file"


def reject(code: str, message: str, expected: str) -> NoReturn:
    """One problem with the file as a whole."""
    raise PredictionError([Problem(code, None, "", message, expected)])


def too_large(*, inflated: bool, most: int) -> NoReturn:
    """More bytes than `most`: of the file, or of what it inflates to."""
    size = f"{most >> 30} GiB" if most % (1 << 30) == 0 else f"{most >> 20} MiB"
    raise PredictionError([problem("inflates_too_large" if inflated else "file_too_large", size=size)])


def read_upload(source: str | Path | bytes, most: int | None = None) -> bytes:
    """The bytes of an upload as it came; PredictionError when there are more than `most`, 1 GiB unless given."""
    most = MOST_BYTES if most is None else min(most, MOST_BYTES)
    if isinstance(source, bytes):
        content = source
    else:
        with Path(source).open("rb") as file:
            # asked for a gibibyte, Python would reserve one for the smallest file, which a sandboxed process may not
            status = os.fstat(file.fileno())
            size = min(status.st_size, most) if stat.S_ISREG(status.st_mode) else most
            content = file.read(size + 1)
    if len(content) > most:
        too_large(inflated=False, most=most)
    return content


def unpacked(content: bytes, most: int | None = None) -> bytes | bytearray:
    """The document inside an upload, by what the bytes are and not by the file's name.

    PredictionError when it inflates to more than `most` bytes, 1 GiB unless given.
    """
    most = MOST_BYTES if most is None else min(most, MOST_BYTES)
    if content.startswith(ZIP_MAGICS):
        inner = _unzip(content, most)
        if inner.startswith(ZIP_MAGICS):
            reject("nested_archive", "the zip holds another zip", ONE_MEMBER)
        if not inner.startswith(GZIP_MAGIC):
            return inner
        content = bytes(inner)
    if content.startswith(GZIP_MAGIC):
        document = _gunzip(content, most)
        if document.startswith((GZIP_MAGIC, *ZIP_MAGICS)):
            reject("nested_archive", "the gzip data holds another archive", "gzipped JSON")
        return document
    return content


def _inflate(content: bytes, start: int, end: int, wbits: int, damaged: str, most: int) -> tuple[bytearray, int]:
    """Inflates one deflate stream of content[start:end]; returns what it held and where it ended."""
    stream = zlib.decompressobj(wbits)
    out = bytearray()
    position = start
    pending = b""
    while not stream.eof:
        if not pending:
            if position >= end:
                reject(damaged, "the compressed data ends early", "a complete file")
            pending = content[position : min(position + CHUNK, end)]
            position += len(pending)
        try:
            out += stream.decompress(pending, 1 << 20)
        except zlib.error as error:
            reject(damaged, f"the compressed data is damaged: {error}", "a file that decompresses")
        pending = stream.unconsumed_tail
        if len(out) > RATIO_COUNTS_ABOVE and len(out) > RATIO * (position - start - len(pending)):
            reject(
                "compression_ratio",
                f"the file inflates to more than {RATIO} times its size",
                "predictions, not padding",
            )
        if len(out) > most:
            too_large(inflated=True, most=most)
    return out, position - len(stream.unused_data)


def _gunzip(content: bytes, most: int) -> bytearray:
    document, end = _inflate(content, 0, len(content), 31, "gzip_damaged", most)
    if end != len(content):
        reject("gzip_members", "something follows the gzip data", "one gzip member and nothing after it")
    return document


def _unzip(content: bytes, most: int) -> bytearray:
    def damaged(message: str) -> NoReturn:
        reject("zip_damaged", f"the zip is damaged: {message}", ONE_MEMBER)

    end_at = content.rfind(b"PK\x05\x06", max(0, len(content) - END.size - 0xFFFF))
    if end_at < 0 or end_at + END.size > len(content):
        damaged("it has no end record (truncated?)")
    _, disk, first_disk, here, total, size, offset, comment = END.unpack_from(content, end_at)
    if total != 1 or here != 1:
        reject("zip_members", f"the zip holds {total} files", ONE_MEMBER)
    if disk or first_disk or end_at + END.size + comment != len(content):
        damaged("its end record does not end it")
    if offset == 0xFFFFFFFF or offset + size != end_at or size < CENTRAL.size:
        damaged("its directory is not where its end record says")
    (
        magic,
        made_by,
        _needed,
        flags,
        method,
        _time,
        _date,
        crc,
        packed,
        inflated,
        name_length,
        extra_length,
        comment_length,
        _disk,
        _internal,
        attributes,
        local_at,
    ) = CENTRAL.unpack_from(content, offset)
    if magic != b"PK\x01\x02" or CENTRAL.size + name_length + extra_length + comment_length != size:
        damaged("its directory does not hold exactly one entry")
    name = content[offset + CENTRAL.size : offset + CENTRAL.size + name_length]
    _check_member(name, made_by, flags, method, attributes)
    if 0xFFFFFFFF in (packed, inflated, local_at):
        reject("zip_method", "the zip uses the zip64 extension", "a plain zip, or .json.gz")
    if local_at != 0:
        damaged("its member does not start the file")
    local = LOCAL.unpack_from(content, 0)
    data_at = LOCAL.size + local[9] + local[10]
    if (local[2], local[3]) != (flags, method) or content[LOCAL.size : LOCAL.size + local[9]] != name:
        damaged("its member and its directory disagree")
    gap = offset - (data_at + packed)
    if gap != 0 and not (flags & 8 and gap in DESCRIPTOR_SIZES):
        damaged("its parts overlap, or something lies between them")
    if inflated > MOST_BYTES:
        too_large(inflated=True, most=MOST_BYTES)
    if method == 0 and inflated > most:
        too_large(inflated=True, most=most)
    if method == 0:
        document, ended = bytearray(content[data_at : data_at + packed]), data_at + packed
    else:
        document, ended = _inflate(content, data_at, data_at + packed, -15, "zip_damaged", most)
    if ended != data_at + packed or len(document) != inflated or zlib.crc32(document) != crc:
        damaged("its data does not have the length and checksum it declares")
    return document


def _check_member(name: bytes, made_by: int, flags: int, method: int, attributes: int) -> None:
    if flags & 0x2041:
        reject("zip_encrypted", "the zip is encrypted", "a zip without a password")
    if method not in (0, 8) or flags & 0x20:
        reject("zip_method", f"the zip uses compression method {method}", "stored or deflate")
    mode = attributes >> 16 if made_by >> 8 == 3 else 0
    if (stat.S_IFMT(mode) not in (0, stat.S_IFREG)) or attributes & 0x10 or name.endswith(b"/"):
        reject("zip_member_kind", "the zip's member is a link, a folder or a device", ONE_MEMBER)
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not MEMBER_NAME.fullmatch(text) or text.startswith(".."):
        reject(
            "zip_member_name", "the zip's member has an unfit name", "a plain file name that ends in .json or .json.gz"
        )
