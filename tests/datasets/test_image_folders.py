"""Anybody's images: what their folders mean, and what their pixels are."""

import io
import json
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.counting import TrainingImages, count_training
from patchmosaic.datasets.fetching import fetch
from patchmosaic.datasets.image_files import OF_SYSTEMS, survey
from patchmosaic.datasets.images import load_images, save_images
from patchmosaic.datasets.layout import split_of, understand
from patchmosaic.datasets.pictures import PictureError, decode
from patchmosaic.datasets.preparation import prepare
from patchmosaic.datasets.registry import REGISTRY


def encoded(picture, kind="PNG", **settings):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return buffer.getvalue()


def gray(value, size=(4, 4), kind="PNG", **settings):
    return encoded(Image.new("L", size, value), kind, **settings)


def lay_out(root, names):
    """Images of the given names, each of its own gray."""
    for position, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gray(position))
    return root


def prepared(folder, directory, **settings):
    lines = []
    fetch("image_folder", directory, local=folder, progress=False)
    images = prepare(
        "image_folder", directory, size=4, progress=False, say=lines.append, **settings
    )
    return images, lines


# ---------------------------------------------------------------------------- folders


SPLITS = {
    "train": ("train", "Training", "TRAIN", "train2017", "seg_train", "training_set", "trainset"),
    "validation": ("val", "valid", "Validation", "val_images", "dev"),
    "test": ("test", "Testing", "TEST", "test-images", "testset"),
    None: ("cat", "contest", "strain", "latest", "restrain", "train_test", "value", "7"),
}


@pytest.mark.parametrize("split", SPLITS)
def test_names_of_splits(split):
    assert {name: split_of(name) for name in SPLITS[split]} == dict.fromkeys(SPLITS[split], split)


@pytest.mark.parametrize(
    ("names", "train", "test", "classes"),
    [
        ("a.png b.png", "ab", "", ""),
        ("data/a.png data/b.png", "ab", "", ""),
        ("around/data/x/a.png around/data/y/b.png", "ab", "", "xy"),
        ("train/a.png val/b.png test/c.png", "a", "c", ""),
        ("train/a.png valid/b.png", "a", "", ""),
        ("Train/x/a.png Train/y/b.png Test/x/c.png", "ab", "c", "xy"),
        ("data/train/x/a.png data/testing/y/b.png", "a", "b", "xy"),
        ("seg_train/seg_train/x/a.png seg_test/seg_test/y/b.png", "a", "b", "xy"),
        ("training_set/training_set/x/a.png test_set/test_set/y/b.png", "a", "b", "xy"),
        ("train/images/a.png test/images/b.png", "a", "b", ""),
        ("images/train2017/a.png images/val2017/b.png", "a", "", ""),
        ("x/train/a.png x/test/b.png y/train/c.png", "ac", "b", "xy"),
        ("train/x/a.png train/y/b.png test/c.png", "ab", "c", "xy"),
        ("train/a.png train/b.png", "ab", "", ""),
        ("bullet_train/a.png cup/b.png", "ab", "", ["bullet_train", "cup"]),
        ("train/bullet_train/a.png train/cup/b.png", "ab", "", ["bullet_train", "cup"]),
        ("x/1/a.png x/2/b.png y/c.png", "abc", "", "xy"),
    ],
)
def test_layouts_that_are_understood(names, train, test, classes, tmp_path):
    layout = understand(tmp_path, names.split())
    stems = {
        split: [name.split("/")[-1].removesuffix(".png") for name in layout.names(split)]
        for split in ("train", "test")
    }
    assert stems == {"train": list(train), "test": list(test)}
    assert layout.class_names() == tuple(classes)
    for name in names.split():
        if classes and layout.classes[name]:
            assert f"{layout.classes[name]}/" in name


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("train/a.png b.png", r"train/a\.png lies in the split folder train, and b\.png in none"),
        ("train/a.png cup/b.png", r"train/a\.png lies in the split folder train, and cup/b\.png"),
        ("my_train/a.png my_test/b.png c/c.png", "split folder my_train, and c/c.png in none"),
        ("train/a.png x/test/b.png", "and others at another depth"),
        ("train/val/a.png train/b.png test/c.png", r"train/val/a\.png lies in two split folders"),
        ("val/a.png valid/b.png train/c.png", "val and valid are both validation"),
        ("trainA/a.png trainB/b.png", "trainA and trainB are both train"),
        ("test/x/a.png test/y/b.png", "all images lie in test, .* name that folder itself"),
        ("my_test_images/a.png", "all images lie in my_test_images"),
        ("cat/a.png b.png", r"b\.png lies beside class folders"),
        ("train/cat/a.png train/b.png test/c.png", r"train/b\.png lies beside class folders"),
        ("images/a.png masks/a.png", "the folder masks does not look like one of pictures"),
        ("a/1.png b/1.png thumbnails/1.png", "the folder thumbnails does not"),
        ("cat/images/1.png cat/masks/1.png dog/images/2.png", "the folder masks does not"),
        ("stage1_train/x/images/1.png stage1_train/y/Masks/1.png", "the folder Masks does not"),
        ("train/Cat/a.png test/cat/b.png", "class folders Cat and cat differ in case alone"),
    ],
)
def test_layouts_that_are_refused(names, said, tmp_path):
    with pytest.raises(DatasetError, match=said):
        understand(tmp_path, names.split())


def test_other_splits_never_reach_the_training_images(tmp_path):
    names = ["Train/cat/1.png", "Train/dog/1.png", "Val/cat/2.png", "Test/dog/2.png"]
    images, lines = prepared(lay_out(tmp_path / "f", names), tmp_path / "raw")
    assert images.class_names == ("cat", "dog")
    assert images.ids.tolist() == ["Train/cat/1.png", "Train/dog/1.png"]
    assert lines[0] == (
        "image_folder: 2 images in train, 1 images in validation, 1 images in test, "
        "2 classes (cat, dog)"
    )
    assert images.record["understood"]["splits"] == {
        "train": {"cat": 1, "dog": 1},
        "validation": {"cat": 1},
        "test": {"dog": 1},
    }
    lay_out(tmp_path / "g", names[:1] + names[2:3])
    fetch("image_folder", tmp_path / "raw g", local=tmp_path / "g", progress=False)
    with pytest.raises(DatasetError, match="no image for the split 'test', but 1 for train"):
        prepare("image_folder", tmp_path / "raw g", split="test")


SYSTEM = (".DS_Store", "Thumbs.db", "__MACOSX/x/._1.png", "x/._1.png", ".git/logo.png")
SYSTEM += ("@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/1.png", "desktop.ini")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_files_of_systems_and_others_are_passed_over_and_counted(kind, tmp_path):
    names = ["x/1.png", "y/2.png"]
    others = ["labels.csv", "x/a.heic", "x/b.heic", "LICENSE"]
    folder = lay_out(tmp_path / "folder", [*names, *SYSTEM, *others])
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, f"around/{path.relative_to(folder)}")
    images, lines = prepared(
        folder if kind == "folder" else tmp_path / "a.zip", tmp_path / "raw", channels=1
    )
    assert images.images[:, 0, 0, 0].tolist() == [0, 1]
    assert images.class_names == ("x", "y")
    passed_over = {".csv": 1, ".heic": 2, OF_SYSTEMS: len(SYSTEM), "without an ending": 1}
    assert images.record["understood"]["passed_over"] == passed_over
    assert "2 files .heic" in lines[1]
    json.dumps(images.record)


def test_a_folder_without_images_says_what_is_there(tmp_path):
    folder = lay_out(tmp_path / "f", ["a.heic", "b.heic", "train.zip", ".DS_Store"])
    with pytest.raises(DatasetError, match=r"no image in it, but 2 \.heic, 1 \.zip, 1 hidden"):
        survey(folder)


# ---------------------------------------------------------------------------- pixels


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF"]
)
def test_formats_are_read(kind, mode):
    colour = 90 if mode == "L" else (200, 30, 90)
    picture = Image.new(mode, (16, 16), colour)
    found = decode(encoded(picture, kind), Counter())
    assert found.mode in ("L", "RGB")
    expected = np.asarray(picture.convert("RGB")).astype(int)
    np.testing.assert_allclose(np.asarray(found.convert("RGB")).astype(int), expected, atol=6)


def test_mixed_formats_of_a_folder(tmp_path):
    kinds = {"a.webp": "WEBP", "b.bmp": "BMP", "c.jfif": "JPEG", "d.PNG": "PNG", "e.tif": "TIFF"}
    for name, kind in kinds.items():
        (tmp_path / "f").mkdir(exist_ok=True)
        (tmp_path / "f" / name).write_bytes(gray(100, (8, 8), kind))
    images, _ = prepared(tmp_path / "f", tmp_path / "raw")
    assert images.ids.tolist() == list(kinds)
    np.testing.assert_allclose(images.images, 100, atol=2)


def disc(mode):
    """A red disc, opaque, on fully transparent junk of every colour."""
    rows, columns = np.mgrid[:32, :32] - 15.5
    inside = rows**2 + columns**2 < 100
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    pixels[inside, :3] = (255, 0, 0)
    pixels[..., 3] = 255 * inside
    picture = Image.fromarray(pixels)
    if mode == "P":  # one palette entry is transparent, whatever colour it has
        picture = Image.fromarray(inside.astype(np.uint8)).convert("P")
        picture.putpalette([7, 90, 33, 255, 0, 0])
        return encoded(picture, transparency=0), inside
    if mode == "RGB":  # one colour is transparent
        pixels[~inside, :3] = (12, 200, 40)
        return encoded(Image.fromarray(pixels[..., :3].copy()), transparency=(12, 200, 40)), inside
    return encoded(picture, "WEBP" if mode == "WEBP" else "PNG", lossless=True), inside


@pytest.mark.parametrize("mode", ["RGBA", "P", "RGB", "WEBP"])
@pytest.mark.parametrize(
    ("background", "colour"), [("white", (255, 255, 255)), ("#102030", (16, 32, 48))]
)
def test_transparency_is_composited_and_hidden_colours_do_not_show(
    mode, background, colour, tmp_path
):
    content, inside = disc(mode)
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a.png").write_bytes(content)
    fetch("image_folder", tmp_path / "raw", local=tmp_path / "f", progress=False)
    lines = []
    images = prepare(
        "image_folder", tmp_path / "raw", background=background, progress=False, say=lines.append
    )
    expected = np.where(inside[..., None], (255, 0, 0), colour)
    np.testing.assert_array_equal(images.images[0].transpose(1, 2, 0), expected)
    assert f"1 images with transparent pixels, composited on {background}" in lines[-1]
    assert f"composited on {background}" in images.record["preparation"]
    assert images.record["pictures"]["transparent"] == 1


def test_half_transparent_gray_is_mixed(tmp_path):
    """A shape in alpha alone: black of opacity 0.2 on white."""
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a.png").write_bytes(encoded(Image.new("LA", (4, 4), (0, 51))))
    images, _ = prepared(tmp_path / "f", tmp_path / "raw")
    np.testing.assert_array_equal(images.images, 204)


def test_an_unknown_background_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="background is 'whit': use the name of a colour"):
        prepare("image_folder", tmp_path, background="whit")


def swapped_profile():
    """sRGB with red and green exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    swapped = bytearray(profile)
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(swapped)


def test_colour_profiles_are_converted():
    picture = Image.new("RGB", (4, 4), (250, 10, 10))
    remarks = Counter()
    found = decode(encoded(picture, icc_profile=swapped_profile()), remarks)
    np.testing.assert_allclose(found.getpixel((0, 0)), (10, 250, 10), atol=1)
    assert remarks["profile"] == 1
    # transparent pixels have colours that are converted as well
    picture.putalpha(128)
    found = decode(encoded(picture, icc_profile=swapped_profile()), remarks)
    np.testing.assert_allclose(found.getpixel((0, 0)), (10, 250, 10, 128), atol=1)


def test_srgb_profile_changes_nothing_and_a_broken_one_is_counted():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for given, kind in ((profile, "profile"), (b"broken", "bad profile")):
        remarks = Counter()
        found = decode(encoded(Image.fromarray(pixels), icc_profile=given), remarks)
        np.testing.assert_array_equal(np.asarray(found), pixels)
        assert +remarks == {kind: 1}
    remarks = Counter()
    found = decode(gray(9, icc_profile=profile), remarks)  # of colours, in a gray image
    assert (found.mode, +remarks) == ("L", {"bad profile": 1})


def png_16(colour_type, channels, values):
    """A PNG of 16 bits a channel; values (height, width, channels) uint16."""
    import struct
    import zlib

    height, width = values.shape[:2]

    def chunk(name, content):
        text = name + content
        return struct.pack(">I", len(content)) + text + struct.pack(">I", zlib.crc32(text))

    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert values.shape[2] == channels
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_every_kind_of_16_bits_is_read_alike(colour_type, channels):
    values = np.random.default_rng(0).integers(0, 1 << 16, (8, 8, 1)).repeat(channels, 2)
    if channels in (2, 4):
        values[..., -1] = 0xFFFF
    remarks = Counter()
    found = decode(png_16(colour_type, channels, values), remarks).convert("L")
    np.testing.assert_array_equal(np.asarray(found), values[..., 0] >> 8)
    assert +remarks == {"16 bits": 1}


def test_other_files_of_16_bits():
    values = np.random.default_rng(0).integers(0, 1 << 16, (8, 8)).astype(np.uint16)
    for kind in ("TIFF", "PPM"):
        found = decode(encoded(Image.fromarray(values), kind), Counter())
        np.testing.assert_array_equal(np.asarray(found), values >> 8, err_msg=kind)
    remarks = Counter()
    decode(encoded(Image.fromarray(values >> 4)), remarks)
    assert remarks["dark"] == 1, "12 bits in 16 would be read as nearly black"


def test_images_of_12_bits_in_16_are_prepared_and_recorded(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, value in (("a", 900), ("b", 4000)):
        Image.fromarray(np.full((4, 4), value, np.uint16)).save(folder / f"{name}.png")
    images, lines = prepared(folder, tmp_path / "raw")
    save_images(tmp_path / "prepared.npz", images)
    pictures = load_images(tmp_path / "prepared.npz").record["pictures"]
    assert pictures["dark"] == pictures["16 bits"] == 2
    assert any("multiply them by 16" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no image", "it is none of PNG, JPEG"),
        (gray(3, (64, 64), "JPEG")[:-80], "(?i)truncated"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "mode F, expected 8 or 16 bits"),
        (encoded(Image.new("I", (4, 4)), "TIFF"), "mode I, expected 8 or 16 bits"),
        (
            encoded(
                Image.new("L", (4, 4)),
                "GIF",
                save_all=True,
                append_images=[Image.new("L", (4, 4), 9)],
            ),
            "2 frames, expected one",
        ),
    ],
    ids=["text", "truncated", "float", "integers", "animation"],
)
def test_what_cannot_be_read_rightly_is_refused(content, said):
    with pytest.raises(PictureError, match=said):
        decode(content, Counter())


def test_pictures_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn clockwise
    sideways = Image.new("RGB", (4, 4), (0, 0, 0))
    sideways.paste((240, 240, 240), (0, 0, 2, 4))  # white on the left, so on top once upright
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a.png").write_bytes(encoded(sideways, exif=exif))
    images, lines = prepared(tmp_path / "f", tmp_path / "raw")
    assert images.images[0, 0, :, 0].tolist() == [240, 240, 0, 0]
    assert "1 images turned upright" in lines[-1]


def test_sizes_are_told(tmp_path):
    (tmp_path / "f").mkdir()
    for name, size in (("a.png", (2, 9)), ("b.png", (8, 6))):
        (tmp_path / "f" / name).write_bytes(gray(1, size))
    images, lines = prepared(tmp_path / "f", tmp_path / "raw")
    assert "shorter sides of 2 to 6 pixels, median 4" in lines[1]
    assert "1 images are smaller than 4 pixels and were enlarged" in lines[2]
    assert images.record["pictures"]["shortest_side"]["enlarged"] == 1


# ---------------------------------------------------------------------------- how many there are

SOME = ["train/cat/1.png", "train/cat/2.png", "train/dog/3.png", "test/dog/4.png"]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize(
    ("names", "total", "rarest"),
    [
        (SOME, 3, 1),
        (["a/1.png", "a/2.png", "b/3.png", "b/4.png", "b/notes.txt"], 4, 2),
        (["1.png", "2.png", ".DS_Store"], 2, None),
        ([*SOME, "test/owl/5.png"], 3, 0),
    ],
)
def test_training_images_are_counted_as_they_are_read(kind, names, total, rarest, tmp_path):
    folder = lay_out(tmp_path / "images", names)
    local = folder
    if kind != "folder":
        local = Path(shutil.make_archive(str(tmp_path / "a"), kind, folder))
    assert count_training(REGISTRY["image_folder"], local) == TrainingImages(total, rarest)
    images, _ = prepared(local, tmp_path / "raw", channels=1)
    assert len(images) == total
    if rarest is not None:
        assert min(np.bincount(images.labels, minlength=len(images.class_names))) == rarest


def test_images_of_a_compressed_tar_are_not_counted(tmp_path):
    archive = shutil.make_archive(str(tmp_path / "a"), "gztar", lay_out(tmp_path / "images", SOME))
    assert count_training(REGISTRY["image_folder"], Path(archive)) is None


def test_what_could_not_be_prepared_is_not_counted(tmp_path):
    with pytest.raises(DatasetError, match=r"2\.png lies beside class folders"):
        count_training(REGISTRY["image_folder"], lay_out(tmp_path / "a", ["x/1.png", "2.png"]))


def test_images_of_an_array_are_counted_by_its_header(tmp_path):
    path, pixels = tmp_path / "a.npz", np.zeros((5, 2, 4, 4), np.uint8)
    np.savez(path, images=pixels, labels=np.array([0, 1, 1, 0, 1]))
    assert count_training(REGISTRY["image_array"], path) == TrainingImages(5, 2)
    np.savez(path, images=pixels)
    assert count_training(REGISTRY["image_array"], path) == TrainingImages(5)
    np.savez(path, other=pixels)
    with pytest.raises(DatasetError, match=r"a\.npz: no file of arrays with images"):
        count_training(REGISTRY["image_array"], path)
