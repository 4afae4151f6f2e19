"""Every kind of stored picture against what a viewer shows of it, computed by hand in numpy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from stored_pictures import COLOURS, GREY, SHOWN, of_grey, values_of

from senet_train.commands.data_check.decode import decode
from senet_train.config.compose import composed
from senet_train.data.framing import Fit, framed, in_shape
from senet_train.data.image_files import EXTENSIONS, FORMATS, Unreadable, read_rgb, to_rgb
from senet_train.data.imagenet_subset import load_image
from senet_train.runs.trained.preprocess import Preprocess


@pytest.mark.parametrize("kind", SHOWN)
def test_pixels_are_what_a_viewer_shows(kind: str, tmp_path: Path) -> None:
    """By every way that a file is read; `same pixels` of the check included."""
    name, bits, save, expected, tolerance = SHOWN[kind]
    file = tmp_path / name
    save(file)
    seen = np.asarray(read_rgb(str(file), bits)).astype(int)
    assert np.abs(seen - expected).max() <= tolerance
    trained = load_image(str(file), (), image_size=8, crop="none", bit_depth=bits)
    data = composed(["data=imagenet_subset", "data.image_size=8", "data.num_classes=2"]).data
    predicted = preprocess_of(data, bits)
    assert torch.equal(predicted.pixels(str(file)), trained)
    with Image.open(file) as opened:
        assert torch.equal(predicted.pixels(opened), trained)
    assert not decode(str(file)).fault


def preprocess_of(data, bits: int) -> Preprocess:
    return Preprocess(data.image_size, 1.0, tuple(data.mean), tuple(data.std), bit_depth=bits)


def test_wrong_bits_are_seen_wrongly() -> None:
    """The control: read as of 16 bits, a picture of 10 is nearly black."""
    deep = Image.fromarray(values_of(10))
    assert np.asarray(to_rgb(deep, 16)).max() == 3
    assert np.asarray(to_rgb(deep, 10)).max() == 255
    assert np.asarray(to_rgb(deep, 9)).max() == 255  # what is brighter is white, nothing wraps


TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_turned_as_its_metadata_say(turn: int, ending: str, tmp_path: Path) -> None:
    stored = Image.fromarray(COLOURS)
    stored.getexif()[0x112] = turn
    stored.save(tmp_path / f"x.{ending}", exif=stored.getexif(), lossless=True)
    assert np.array_equal(read_rgb(str(tmp_path / f"x.{ending}")), TURNS[turn](COLOURS))


def test_a_deep_picture_is_turned_too(tmp_path: Path) -> None:
    deep = Image.fromarray(values_of(12))
    deep.getexif()[0x112] = 6
    deep.save(tmp_path / "x.png", exif=deep.getexif())
    seen = np.asarray(read_rgb(str(tmp_path / "x.png"), 12))
    assert np.array_equal(seen, np.rot90(of_grey(values_of(12) >> 4), -1))


def test_damaged_metadata_do_not_hide_a_picture(tmp_path: Path) -> None:
    damaged = b"Exif\0\0II*\0\xff\xff\xff\xff no table"
    Image.fromarray(COLOURS).save(tmp_path / "x.png", exif=damaged)
    assert np.array_equal(read_rgb(str(tmp_path / "x.png")), COLOURS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (values_of(16, "int32") + 1, "go from 1 to 65536: save it with 8 or 16 bits"),
        (values_of(12, "int32") - 5, "go from -5 to 4090"),
        (GREY.astype("float32") * 255, "floats from 0 to 255: save floats from 0 to 1"),
        (np.full((8, 12), np.nan, "float32"), "floats from nan to nan"),
    ],
)
def test_values_without_a_white(values: np.ndarray, message: str, tmp_path: Path) -> None:
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(Unreadable, match=message):
        read_rgb(str(tmp_path / "x.tif"))
    assert message in decode(str(tmp_path / "x.tif")).detail


def test_cut_outs_of_one_photograph_are_no_copies(tmp_path: Path) -> None:
    """Of hidden pixels nothing is known: two masks make two pictures, and one mask makes copies."""
    for name, columns in (("left", 6), ("right", 7), ("again", 6)):
        stored = Image.fromarray(COLOURS)
        mask = np.where(np.arange(12) < columns, 255, 0) * np.ones((8, 1), int)
        stored.putalpha(Image.fromarray(mask.astype(np.uint8)))
        stored.save(tmp_path / f"{name}.png")
    left, right, again = (decode(str(tmp_path / f"{n}.png")) for n in ("left", "right", "again"))
    assert left.pixels == again.pixels != right.pixels


def test_deep_pictures_that_differ_in_their_lower_bits_are_no_copies(tmp_path: Path) -> None:
    for name, more in (("a", 0), ("b", 1)):
        Image.fromarray(values_of(12) // 2 * 2 + more).save(tmp_path / f"{name}.png")
    a, b = (decode(str(tmp_path / f"{name}.png")) for name in "ab")
    assert a.pixels != b.pixels
    assert a.notes == (("deep", "values from 0 to 4094"),)


def test_a_profile_that_all_have_is_not_unusual(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(COLOURS).save(tmp_path / "x.png", icc_profile=profile)
    assert decode(str(tmp_path / "x.png")).notes == ()


def test_endings_are_those_of_the_formats() -> None:
    """All that Pillow knows for our formats, but sequences of images."""
    Image.init()
    known = {ending for ending, name in Image.registered_extensions().items() if name in FORMATS}
    assert set(EXTENSIONS) == known - {".avifs", ".pfm"}


SQUARES = np.zeros((64, 256, 3), np.uint8)  # (H, W): red on the left, green in the middle, blue
SQUARES[:, :64, 0] = SQUARES[:, 64:192, 1] = SQUARES[:, 192:, 2] = 255


@pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
def test_fit(fit: Fit) -> None:
    """A class at the edge of a long picture is seen unless its middle alone is."""
    seen = [1] if fit == "crop" else [0, 1, 2]
    long = Image.fromarray(SQUARES)
    for picture in (framed(long, 32, fit, 1.0), framed(long, 32, fit, 256 / 224)):
        assert picture.size == (32, 32)
        assert np.flatnonzero(np.asarray(picture).max((0, 1))).tolist() == seen
    black = (np.asarray(framed(long, 32, fit, 1.0)).max(2) == 0).mean()
    assert black == (0.75 if fit == "pad" else 0)  # 32 x 8 of 32 x 32 pixels
    whole = in_shape(long, 32, fit)
    assert np.flatnonzero(np.asarray(whole).max((0, 1))).tolist() == [0, 1, 2]
    assert (whole.size[0] == whole.size[1]) == (fit != "crop")


def test_a_square_of_the_right_size_is_taken_whole() -> None:
    square = Image.fromarray(SQUARES[:, :64])
    for fit in ("crop", "resize", "pad"):
        assert framed(square, 64, fit, 256 / 224) is square
