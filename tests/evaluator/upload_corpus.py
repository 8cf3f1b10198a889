"""All hostile and broken uploads: those of `upload_entries`, and archives that are built here, in the same form."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib

from tests.evaluator.upload_entries import COCO, DOCUMENTS, ENTRIES, IN_SPACE, ON_SURFACE, VALID, Case, with_keypoint


def zipped(content: bytes = VALID, name: str = "p.json", *, method: int = zipfile.ZIP_DEFLATED, mode: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = method
        info.create_system = 3
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return out.getvalue()


def zip_of(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, VALID)
    return out.getvalue()


def patched(content: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """The bytes with a field of the first (for the end record, the last) record of this signature overwritten."""
    at = content.rfind(signature) + offset
    return content[:at] + value + content[at + len(value) :]


def encrypted() -> bytes:
    flagged = patched(zipped(), b"PK\x01\x02", 8, struct.pack("<H", 1))
    return patched(flagged, b"PK\x03\x04", 6, struct.pack("<H", 1))


def overlapping(count: int) -> bytes:
    """A zip of many directory entries that all point at one local header."""
    one = zipped(b"[" + b" " * 100_000 + b"]")
    at, end = one.rfind(b"PK\x01\x02"), one.rfind(b"PK\x05\x06")
    directory = one[at:end] * count
    record = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, min(count, 65535), min(count, 65535), len(directory), at, 0)
    return one[:at] + directory + record


def hidden_overlap() -> bytes:
    """Two directory entries while the end record says one."""
    made = overlapping(2)
    return patched(made, b"PK\x05\x06", 8, struct.pack("<HH", 1, 1))


def zeros(megabytes: int) -> bytes:
    """`megabytes` of blanks, deflated to about a thousandth, as one gzip member."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b" " * (1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(megabytes)), packer.flush()])


def zip_bomb() -> bytes:
    return zipped(b" " * (80 << 20))


def overwritten_size() -> bytes:
    """A member that inflates to more than it declares."""
    made = zipped()
    made = patched(made, b"PK\x01\x02", 24, struct.pack("<I", 3))
    return patched(made, b"PK\x03\x04", 22, struct.pack("<I", 3))


ARCHIVES: dict[str, Case] = {
    "a truncated gzip": (COCO, gzip.compress(VALID)[:-20], "gzip_damaged", "ends early"),
    "a gzip header": (COCO, b"\x1f\x8b", "gzip_damaged", "ends early"),
    "a gzip with a wrong checksum": (
        COCO,
        gzip.compress(VALID)[:-8] + b"\x00" * 4 + gzip.compress(VALID)[-4:],
        "gzip_damaged",
        "damaged",
    ),
    "a gzip of noise": (COCO, gzip.compress(VALID)[:10] + b"\xff" * 50, "gzip_damaged", "damaged"),
    "two gzip members": (COCO, gzip.compress(VALID) * 2, "gzip_members", "something follows"),
    "bytes after gzip": (COCO, gzip.compress(VALID) + b"x", "gzip_members", "something follows"),
    "gzip in gzip": (COCO, gzip.compress(gzip.compress(VALID)), "nested_archive", "another archive"),
    "zip in gzip": (COCO, gzip.compress(zipped()), "nested_archive", "another archive"),
    "an empty gzip": (COCO, gzip.compress(b""), "empty_file", "empty"),
    "a gzip bomb": (COCO, zeros(200), "compression_ratio", "100 times"),
    "an empty zip": (COCO, zip_of(), "zip_members", "holds 0 files"),
    "two files in a zip": (COCO, zip_of("a.json", "b.json"), "zip_members", "holds 2 files"),
    "100 overlapping members": (COCO, overlapping(100), "zip_members", "holds 100 files"),
    "100,000 members": (COCO, overlapping(100_000), "zip_members", "holds 65535 files"),
    "an overlap that the end record hides": (COCO, hidden_overlap(), "zip_damaged", "exactly one entry"),
    "a zip bomb": (COCO, zip_bomb(), "compression_ratio", "100 times"),
    "a zip that declares 3 GiB": (
        COCO,
        patched(zipped(), b"PK\x01\x02", 24, struct.pack("<I", 3 << 30)),
        "too_large",
        "1 GiB",
    ),
    "zip in zip": (COCO, zipped(zipped(), method=zipfile.ZIP_STORED), "nested_archive", "another zip"),
    "gzip in gzip in zip": (
        COCO,
        zipped(gzip.compress(gzip.compress(VALID)), "p.json.gz"),
        "nested_archive",
        "another",
    ),
    "an encrypted zip": (COCO, encrypted(), "zip_encrypted", "encrypted"),
    "a zip with bzip2": (COCO, zipped(method=zipfile.ZIP_BZIP2), "zip_method", "method 12"),
    "a zip with LZMA": (COCO, zipped(method=zipfile.ZIP_LZMA), "zip_method", "method 14"),
    "a symlink": (COCO, zipped(b"/etc/passwd", mode=0o120777), "zip_member_kind", "link"),
    "a device": (COCO, zipped(b"", mode=0o020666), "zip_member_kind", "device"),
    "a folder": (COCO, zipped(b"", "p.json/", method=zipfile.ZIP_STORED), "zip_member_kind", "folder"),
    "a name with ..": (COCO, zipped(name="../p.json"), "zip_member_name", "unfit name"),
    "an absolute name": (COCO, zipped(name="/p.json"), "zip_member_name", "unfit name"),
    "a name with a backslash": (COCO, zipped(name="..\\p.json"), "zip_member_name", "unfit name"),
    "a drive letter": (COCO, zipped(name="C:p.json"), "zip_member_name", "unfit name"),
    "a name in a folder": (COCO, zipped(name="a/p.json"), "zip_member_name", "unfit name"),
    "another ending": (COCO, zipped(name="p.pkl"), "zip_member_name", "ends in .json"),
    "a NUL in the name": (
        COCO,
        zipped(name="a#b.json").replace(b"a#b.json", b"a\x00b.json"),
        "zip_member_name",
        "unfit name",
    ),
    "something before the zip": (COCO, b"PK\x03\x04" + zipped(), "zip_damaged", "not where its end record says"),
    "something after the zip": (COCO, zipped() + b"x", "zip_damaged", "does not end it"),
    "a truncated zip": (COCO, zipped()[:-5], "zip_damaged", "no end record"),
    "half a zip": (COCO, zipped()[:60], "zip_damaged", "no end record"),
    "a zip with a wrong checksum": (
        COCO,
        patched(zipped(), b"PK\x01\x02", 16, b"\x00" * 4),
        "zip_damaged",
        "length and checksum",
    ),
    "a zip whose member says less than it holds": (COCO, overwritten_size(), "zip_damaged", "length and checksum"),
    "a zip whose packed length is wrong": (
        COCO,
        patched(zipped(), b"PK\x01\x02", 20, struct.pack("<I", 10)),
        "zip_damaged",
        "overlap",
    ),
    "a member that starts elsewhere": (
        COCO,
        patched(zipped(), b"PK\x01\x02", 42, struct.pack("<I", 4)),
        "zip_damaged",
        "does not start the file",
    ),
    "a zip64 length": (COCO, patched(zipped(), b"PK\x01\x02", 20, b"\xff" * 4), "zip_method", "zip64"),
    "two names": (COCO, patched(zipped(), b"PK\x03\x04", 30, b"q"), "zip_damaged", "disagree"),
    "NaN in a zip": (COCO, zipped(with_keypoint(4, "NaN")), "not_finite", "/0/keypoints/4"),
}

CORPUS: dict[str, Case] = DOCUMENTS | ENTRIES | ARCHIVES | IN_SPACE | ON_SURFACE
