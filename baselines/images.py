"""Opening images: whatever the file is, 8-bit RGB the right way up, or a reason why not.

A file is refused before it is decoded when it has too many pixels. A reason names the file, not its folder.
"""

import stat
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

LARGEST_IMAGE = 100_000_000  # pixels
EXIF_ORIENTATION = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)  # orientations that exchange width and height
BACKGROUND = (255, 255, 255)  # behind what is transparent

# what Pillow raises for files that are not what they say
BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error)


class UnreadableImage(ValueError):
    """A file that gives no image. `code` is stable: missing, not_an_image, too_many_pixels or broken."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """The image as 8-bit RGB, turned as its EXIF orientation says.

    Grey, palette, 16-bit, floating-point and CMYK images are converted; what is transparent shows white. Of several
    frames the first is taken. `size` is the (width, height) that the benchmark lists for it: when that is the size of
    the unturned image, then the annotations were made on the unturned image, and it stays so. Raises UnreadableImage.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableImage("missing", f"{path.name}: not a file")
    except OSError as error:
        raise UnreadableImage("missing", f"{path.name}: not there, or may not be read") from error
    try:
        with Image.open(path) as file:
            if file.width * file.height > LARGEST_IMAGE:
                raise UnreadableImage(
                    "too_many_pixels", f"{path.name}: {file.width} x {file.height} pixels are too many"
                )
            file.load()
            return _rgb(_upright(file, size))
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("not_an_image", f"{path.name}: not an image of a known kind") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too_many_pixels", f"{path.name}: too many pixels") from error
    except PermissionError as error:
        raise UnreadableImage("missing", f"{path.name}: not there, or may not be read") from error
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
