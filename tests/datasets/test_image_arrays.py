"""Arrays of images of any number of channels: taken as they are, or refused by name."""

import numpy as np
import pytest

from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.fetching import fetch
from patchmosaic.datasets.images import load_images, save_images, to_float
from patchmosaic.datasets.preparation import prepare

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 2, 4, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 1, 0, 1], np.int32)


def prepared(tmp_path, arrays, **settings):
    np.savez(tmp_path / "images.npz", **arrays)
    fetch("image_array", tmp_path / "raw", local=tmp_path / "images.npz", progress=False)
    settings = {"size": 4, "channels": 2} | settings
    return prepare("image_array", tmp_path / "raw", progress=False, **settings)


def test_pixels_are_taken_as_they_are(tmp_path):
    lines = []
    images = prepared(tmp_path, {"images": PIXELS}, say=lines.append)
    np.testing.assert_array_equal(images.images, PIXELS)
    assert images.labels is None
    assert images.ids.tolist() == [0, 1, 2, 3, 4]
    assert images.record["preparation"] == "pixels as they are"
    assert lines == [
        "image_array: 5 images for train; 2 channels of 4 x 4 pixels; no classes",
    ]
    save_images(tmp_path / "a.npz", images)
    again = load_images(tmp_path / "a.npz")
    assert to_float(again).shape == (5, 2, 4, 4)
    np.testing.assert_array_equal(
        prepared(tmp_path, {"images": PIXELS}, limit=2).images, PIXELS[:2]
    )


def test_classes_and_held_out_images(tmp_path):
    arrays = {
        "images": PIXELS,
        "labels": LABELS,
        "test_images": PIXELS[:2],
        "test_labels": LABELS[:2],
        "class_names": np.array(["a", "b", "c"]),
    }
    train, test = (prepared(tmp_path, arrays, split=split) for split in ("train", "test"))
    assert train.labels.tolist() == LABELS.tolist()
    assert test.labels.tolist() == [0, 1]
    assert train.class_names == test.class_names == ("a", "b", "c")
    del arrays["class_names"]
    assert prepared(tmp_path, arrays).class_names == ("0", "1")
    np.testing.assert_array_equal(test.images, PIXELS[:2])


@pytest.mark.parametrize(
    ("arrays", "settings", "said"),
    [
        ({"images": PIXELS}, {"channels": 3}, "channels 2, and channels of the dataset is 3: set"),
        ({"images": PIXELS}, {"size": 8}, "size 4, and size of the dataset is 8: set it to 4"),
        ({"images": PIXELS}, {"split": "test"}, "no test_images, which the split 'test' is read"),
        ({"images": PIXELS / 255}, {}, "images is float64 .*; allowed: images: uint8"),
        ({"images": PIXELS.astype(np.uint16)}, {}, "images is uint16 of shape .*, expected uint8"),
        ({"images": PIXELS.transpose(0, 2, 3, 1)}, {}, r"of shape \(5, 4, 4, 2\), expected uint8"),
        ({"train": PIXELS}, {}, r"train is uint8 \(5, 2, 4, 4\); allowed: images: "),
        ({"images": PIXELS, "labels": LABELS[:3]}, {}, r"labels is of shape \(3,\), expected one"),
        (
            {"images": PIXELS, "labels": LABELS, "test_images": PIXELS},
            {},
            "test_labels is missing, expected one for each of the 5 test_images",
        ),
        (
            {"images": PIXELS, "labels": LABELS, "class_names": np.array(["a"])},
            {},
            "labels run from 0 to 1, allowed: 0 to 0",
        ),
        ({"images": PIXELS, "class_names": np.array(["a"])}, {}, "labels is missing"),
    ],
)
def test_other_arrays_are_refused_by_name(arrays, settings, said, tmp_path):
    with pytest.raises(DatasetError, match=said) as error:
        prepared(tmp_path, arrays, **settings)
    assert "\n" not in str(error.value)


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "images.npz").write_bytes(b"no arrays")
    fetch("image_array", tmp_path / "raw", local=tmp_path / "images.npz", progress=False)
    with pytest.raises(DatasetError, match=r"images\.npz: not a readable npz file"):
        prepare("image_array", tmp_path / "raw", size=4, progress=False)
    with pytest.raises(DatasetError, match=r"no file; expected arrays as np\.savez writes"):
        fetch("image_array", tmp_path / "other", local=tmp_path, progress=False)
