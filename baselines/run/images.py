"""Opening images: whatever the file is, 8-bit RGB the right way up, or a reason why not.

A file with too many pixels is rejected before it is decoded. A reason names the file, not its folder.
"""

import stat
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

LARGEST_IMAGE = 100_000_000  # pixels
EXIF_ORIENTATION = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)  # orientations that exchange width and height
BACKGROUND = (255, 255, 255)  # behind transparent pixels
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
# x, y of the first pixel and the steps of each pass of an interlaced PNG
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PNG_SIGNATURE, PNG_PIECE = 8, 1 << 14  # bytes before the first chunk; bytes that are unpacked at a time

# what Pillow raises for files that are not what they claim to be
BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class UnreadableImage(ValueError):
    """A file that gives no image. `code` is stable: missing, not_an_image, too_many_pixels, broken or other_size."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """The image as 8-bit RGB, turned as its EXIF orientation says.

    Grey, palette, 16-bit, floating-point and CMYK images are converted; transparent pixels become white. Of several
    frames the first is used. `size` is the (width, height) that the benchmark lists for it: if that is the size of
    the unturned image, it was annotated unturned and is returned so; an image of another size is not the one that was
    annotated. Raises UnreadableImage.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableImage("missing", f"{path.name}: not a file")
    except OSError as error:
        raise UnreadableImage("missing", f"{path.name}: missing or not readable") from error
    try:
        with Image.open(path) as file:
            if file.width * file.height > LARGEST_IMAGE:
                raise UnreadableImage(
                    "too_many_pixels", f"{path.name}: {file.width} x {file.height} pixels are too many"
                )
            file.load()
            if file.format == "PNG" and not _all_rows_are_there(path):
                raise UnreadableImage("broken", f"{path.name}: broken (its data ends before its last row)")
            upright = _upright(file, size)
            if size is not None and upright.size != size:
                listed, found = (f"{width} x {height}" for width, height in (size, upright.size))
                raise UnreadableImage("other_size", f"{path.name}: it has {found} pixels, the benchmark lists {listed}")
            return _rgb(upright)
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("not_an_image", f"{path.name}: not an image of a known kind") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too_many_pixels", f"{path.name}: too many pixels") from error
    except PermissionError as error:
        raise UnreadableImage("missing", f"{path.name}: missing or not readable") from error
    except BROKEN as error:
        raise UnreadableImage("broken", f"{path.name}: broken ({error})") from error


def _upright(file: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """The image as its EXIF orientation says; as it is where that cannot be read."""
    try:
        turned = file.getexif().get(EXIF_ORIENTATION, 1) in QUARTER_TURNS
        listed_unturned = turned and size == file.size and size != (file.height, file.width)
        return file.copy() if listed_unturned else ImageOps.exif_transpose(file)
    except BROKEN:
        return file.copy()


def _all_rows_are_there(path: Path) -> bool:
    """Whether a PNG file's compressed data has as many bytes as its header says; Pillow shows black for the rest.

    From the PNG specification (second edition), sections 5.3, 7.2, 8.2 and 11.2.2: a row is a filter byte and its
    samples, packed; an interlaced image has seven passes, each of them rows of its own.
    """
    due, inflate = 0, zlib.decompressobj()
    with path.open("rb") as file:
        file.seek(PNG_SIGNATURE)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            following = file.tell() + length + 4  # behind the chunk's checksum
            if name == b"IHDR":
                due = _png_bytes(*struct.unpack(">IIBBBBB", file.read(13)))
            while name == b"IDAT" and due > 0 and length > 0 and (piece := file.read(min(length, PNG_PIECE))):
                due -= len(inflate.decompress(piece))
                length -= len(piece)
            file.seek(following)
    return due <= 0


def _png_bytes(width: int, height: int, depth: int, colour: int, _packing: int, _filter: int, interlaced: int) -> int:
    """How many bytes the rows of a PNG image have, from its header."""
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(len(range(x, width, across)), len(range(y, height, down))) for x, y, across, down in passes]
    bits = depth * PNG_SAMPLES[colour]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns)


def _rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as 8-bit RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        behind = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(behind, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(values: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Grey values of more than 8 bits [H, W] as 8 bits.

    16-bit modes have 65535 as white. Other integers and floating-point numbers do not say what white is: 1 (of
    fractions), 255, 65535, or their largest value, whichever is the first that none exceeds.
    """
    plain = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(plain.max(initial=0.0))
    if mode.startswith("I;16"):
        white = 65535.0
    else:
        usual = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
        white = next((each for each in usual if largest <= each), largest)
    return np.rint(np.clip(plain * (255.0 / white), 0, 255)).astype(np.uint8)
