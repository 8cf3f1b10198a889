"""Images of every kind are read correctly, and other files are reported with a reason."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from baselines.run import images
from baselines.run.images import UnreadableImage, read_image


def _scene() -> Image.Image:
    """8 x 4: left half red, right half blue, and a white top left corner."""
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4] = (200, 0, 0)
    pixels[:, 4:] = (0, 0, 200)
    pixels[0, 0] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    shown = _scene()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = shown.transpose(undo[orientation]) if orientation > 1 else shown
    exif = Image.Exif()
    exif[images.EXIF_ORIENTATION] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png")), np.asarray(shown))
    # annotated on the stored pixels: the listed size is that of the unrotated image
    if stored.size != shown.size:
        read = read_image(tmp_path / "a.png", stored.size)
        assert np.array_equal(np.asarray(read), np.asarray(stored))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_unreadable_exif_rotates_nothing(tmp_path):
    _scene().save(tmp_path / "a.png", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png")), np.asarray(_scene()))


def test_grey_images_of_all_depths(tmp_path):
    grey = np.linspace(0, 255, 12).astype(np.uint8).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(np.asarray(read_image(tmp_path / "grey.png")), np.repeat(grey[..., None], 3, axis=2))
    for values, kind, expected in (
        (grey.astype(np.uint16) * 257, "png", grey),  # 65535 is white
        (np.full((3, 4), 257 * 20, np.uint16), "png", np.full((3, 4), 20)),  # a dark image stays dark
        (grey.astype(np.uint16) * 257, "tif", grey),
        (grey.astype(np.int32), "tif", grey),  # 32 bits, with values up to 255
        (grey.astype(np.int32) * 257, "tif", grey),
        (grey.astype(np.float32) / 255, "tif", grey),  # fractions
        (np.where(grey == 0, np.nan, grey).astype(np.float32), "tif", grey),
    ):
        Image.fromarray(values).save(tmp_path / f"deep.{kind}")
        read = np.asarray(read_image(tmp_path / f"deep.{kind}"))
        assert read.shape == (3, 4, 3) and np.array_equal(read[..., 1], expected)


def _png(width: int, height: int, depth: int, colour: int, rows: bytes, *, interlaced: bool = False) -> bytes:
    """A PNG file by its specification, for kinds that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bit_colours(tmp_path):
    pixel = struct.pack(">HHH", 0xFFFF, 0x8080, 0)
    (tmp_path / "a.png").write_bytes(_png(2, 1, 16, 2, b"\0" + pixel * 2))
    assert np.asarray(read_image(tmp_path / "a.png")).tolist() == [[[255, 128, 0]] * 2]


@pytest.mark.parametrize(
    ("size", "depth", "colour", "interlaced", "due"),
    [
        ((4, 2), 8, 2, False, 26),  # 2 rows of a filter byte and 4 x 3 samples
        ((9, 3), 1, 0, False, 9),  # 3 rows of a filter byte and 9 bits in 2 bytes
        ((3, 5), 4, 3, False, 15),  # 5 rows of a filter byte and 3 halves of a byte in 2
        ((2, 2), 16, 6, False, 34),  # 2 rows of a filter byte and 2 x 4 samples of 2 bytes
        ((1, 1), 8, 0, True, 2),  # the first pass alone
        # the passes are 1 x 1, 0 x 1, 1 x 0, 1 x 1, 2 x 1, 1 x 2 and 3 x 1 pixels, of 3 bytes each:
        # 4 + 0 + 0 + 4 + 7 + 2 x 4 + 10
        ((3, 3), 8, 2, True, 33),
        # 1 x 1, 1 x 1, 2 x 1, 2 x 2, 4 x 2, 4 x 4 and 8 x 4 pixels of a byte: 2 + 2 + 3 + 6 + 10 + 20 + 36
        ((8, 8), 8, 0, True, 79),
    ],
)
def test_a_png_whose_data_ends_early_is_broken(tmp_path, size, depth, colour, interlaced, due):
    palette = struct.pack(">I", 3) + b"PLTE" + bytes(3) + struct.pack(">I", zlib.crc32(b"PLTE" + bytes(3)))

    def written(length: int) -> Path:
        content = _png(*size, depth, colour, bytes(length), interlaced=interlaced)
        (tmp_path / "a.png").write_bytes(content[:33] + (palette if colour == 3 else b"") + content[33:])
        return tmp_path / "a.png"

    assert read_image(written(due)).size == size
    assert _refused(written(due - 1)) == "broken"


def test_a_png_of_several_chunks_and_passes_is_whole(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (211, 307, 4)).astype(np.uint8)
    noise[..., 3] = 255
    Image.fromarray(noise).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().count(b"IDAT") > 1
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png")), noise[..., :3])
    frames = [Image.new("RGB", (8, 4), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / "animated.png", save_all=True, append_images=frames[1:])
    assert np.asarray(read_image(tmp_path / "animated.png"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["tif", "jpg"])
def test_cmyk_colours(tmp_path, kind):
    scene = _scene().resize((80, 40), Image.Resampling.NEAREST)  # blocks of JPEG are 8 x 8
    scene.convert("CMYK").save(tmp_path / f"a.{kind}", quality=95)
    read = np.asarray(read_image(tmp_path / f"a.{kind}")).astype(int)
    assert read.shape == (40, 80, 3) and np.abs(read - np.asarray(scene)).mean() <= 3


def test_palettes_and_transparency(tmp_path):
    for mode in ("P", "RGBA", "LA", "1", "YCbCr"):
        _scene().convert(mode).save(tmp_path / ("a.tif" if mode == "YCbCr" else "a.png"))
        assert read_image(tmp_path / ("a.tif" if mode == "YCbCr" else "a.png")).mode == "RGB"
    # transparent pixels become white, half-transparent ones half white; their own colours do not matter
    layers = np.zeros((1, 3, 4), np.uint8)
    layers[0] = [[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]
    Image.fromarray(layers).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png"))[0].tolist() == [[10, 20, 30], [255, 255, 255], [127, 127, 127]]
    palette = _scene().convert("P", palette=Image.Palette.ADAPTIVE, colors=3)
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((7, 3)))
    read = np.asarray(read_image(tmp_path / "p.png"))
    assert read[3, 7].tolist() == [255, 255, 255] and read[3, 0].tolist() == [200, 0, 0]


def test_the_first_of_several_frames_is_used(tmp_path):
    _scene().save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (8, 4), "green")])
    assert np.asarray(read_image(tmp_path / "a.gif"))[3, 0].tolist() == [200, 0, 0]


def _refused(path: Path, size: tuple[int, int] | None = None) -> str:
    with pytest.raises(UnreadableImage, match=path.name) as failure:
        read_image(path, size)
    assert str(path.parent) not in str(failure.value)  # the message does not reveal where the images are
    return failure.value.code


def test_a_file_that_is_not_an_image_has_a_code(tmp_path, monkeypatch):
    _scene().resize((80, 40)).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[:400])
    assert _refused(tmp_path / "half.jpg") in {"broken", "not_an_image"}
    whole = _png(4, 2, 8, 2, b"".join(b"\0" + bytes(12) for _ in range(2)))
    (tmp_path / "whole.png").write_bytes(whole)
    assert read_image(tmp_path / "whole.png").size == (4, 2)
    (tmp_path / "cut.png").write_bytes(whole[:-20])
    assert _refused(tmp_path / "cut.png") == "broken"
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    assert _refused(tmp_path / "text.png") == _refused(tmp_path / "empty.png") == "not_an_image"
    assert _refused(tmp_path / "none.png") == "missing"
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait forever
    assert _refused(tmp_path / "folder.png") == _refused(tmp_path / "pipe.png") == "missing"
    monkeypatch.setattr(images, "LARGEST_IMAGE", 3199)
    with pytest.raises(UnreadableImage, match="80 x 40 pixels are too many"):
        read_image(tmp_path / "whole.jpg")


def test_a_decompression_bomb_is_rejected_before_it_is_unpacked(tmp_path):
    """100,000 x 100,000 pixels in a few bytes: only its header is read."""
    (tmp_path / "bomb.png").write_bytes(_png(100_000, 100_000, 8, 2, b""))
    assert _refused(tmp_path / "bomb.png") == "too_many_pixels"


def test_a_file_of_another_size_is_not_the_listed_image(tmp_path):
    _scene().save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (8, 4)).size == (8, 4)
    for size in ((8, 5), (16, 8), (4, 8)):  # a quarter turn without EXIF is another image, too
        assert _refused(tmp_path / "a.png", size) == "other_size"
    with pytest.raises(UnreadableImage, match="it has 8 x 4 pixels, the benchmark lists 16 x 8"):
        read_image(tmp_path / "a.png", (16, 8))
    exif = Image.Exif()
    exif[images.EXIF_ORIENTATION] = 6
    _scene().save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png", (4, 8)).size == (4, 8)  # as displayed
    assert read_image(tmp_path / "a.png", (8, 4)).size == (8, 4)  # as stored
    assert _refused(tmp_path / "a.png", (8, 8)) == "other_size"
