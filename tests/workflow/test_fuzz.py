"""Bad input, systematically: every mutated config, broken file and hostile archive ends in one of
the package's clear errors, naming the key or the file, and in nothing else.

The cases are drawn by hypothesis from a fixed seed, so that every run has the same ones.
"""

import copy
import dataclasses
import datetime
import gzip
import hashlib
import io
import json
import math
import os
import random
import re
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from configs import DEFAULT, OWN, ROOT, merged, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from patchmosaic.datasets.content import DatasetError, RawFile
from patchmosaic.datasets.fetching import fetch
from patchmosaic.datasets.image_files import MOST_IMAGE_BYTES, collection_stamp
from patchmosaic.datasets.images import Images, load_images, save_images
from patchmosaic.datasets.preparation import prepare
from patchmosaic.datasets.readers import read_cifar10, read_idx
from patchmosaic.datasets.registry import REGISTRY
from patchmosaic.networks.build import build_network
from patchmosaic.networks.checkpoints import load_checkpoint, save_checkpoint
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.training import TrainingRecipe
from patchmosaic.sampling.samples import Samples, SamplesError, load_samples, save_samples
from patchmosaic.sampling.scales import read_scales, save_scales_record, verify_scales
from patchmosaic.system.records import RecordError, record_path
from workflow.checks import ConfigError, validate_config
from workflow.experiment import network_config


def cases(number):
    """So many cases from a fixed seed; one of more than five seconds fails."""
    return settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=datetime.timedelta(seconds=5),
        suppress_health_check=list(HealthCheck),
    )


def folder():
    return tempfile.TemporaryDirectory(prefix="fuzz-")


# ---------------------------------------------------------------------------- the config


CONFIGS = [
    DEFAULT,
    merged(DEFAULT, OWN),
    merged(DEFAULT, read("config/ci.yaml")),
    merged(
        merged(DEFAULT, read("config/paper_width.yaml")),
        {"datasets": {"celeba": {"local": str(ROOT)}}},
    ),
]


def places(node, path=()):
    """The path of every key and list item in a config."""
    items = {dict: lambda: node.items(), list: lambda: enumerate(node)}.get(type(node), list)()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(config, path):
    for key in path:
        config = config[key]
    return config


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**9, 10**30, -(10**30), 2**64]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "all", "1e-4", "is", "mnist\n", "\0", "{x}", "../x", "é ü", "x" * 5000]),
    st.lists(st.one_of(st.integers(-2, 40), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.one_of(st.text(max_size=4), st.integers()), st.integers(), max_size=2),
    st.just(datetime.date(2025, 1, 1)),
)


def mutate(draw, config):
    """Change one place of a config; the path of what was changed."""
    path = draw(st.sampled_from(sorted(places(config), key=str)))
    parent, key = at(config, path[:-1]), path[-1]
    old = parent[key]
    kinds = ["junk", "junk", "remove", "wrap", "elsewhere"]
    kinds += ["misspell", "add"] if isinstance(key, str) else []
    kinds += ["number", "number"] if isinstance(old, (int, float)) else []
    kinds += ["text", "text"] if isinstance(old, str) else []
    match draw(st.sampled_from(kinds)):
        case "junk":
            parent[key] = draw(JUNK)
        case "remove":
            del parent[key]
        case "wrap":
            parent[key] = [old]
        case "elsewhere":
            other = draw(st.sampled_from(sorted(places(config), key=str)))
            parent[key] = copy.deepcopy(at(config, other))
        case "misspell":
            parent[draw(st.sampled_from([key[1:], key + key[-1:], key.upper(), f"{key}\n"]))] = old
            del parent[key]
        case "add":
            parent[draw(st.one_of(st.text(max_size=5), st.integers(), st.none()))] = old
        case "number":
            made = [-old, float(old), old * 10**9, old + 0.5, 0, math.nan, math.inf, str(old)]
            parent[key] = draw(st.sampled_from(made))
        case "text":
            parent[key] = draw(st.sampled_from([old[:-1], old.upper(), f"{old}\n", f"{{{old}}}"]))
    return path


def assert_usable(config, base):
    """What the rules do with a config that was found valid."""
    json.dumps(config, allow_nan=False)
    for path in places(config):
        if path in set(places(base)) and path not in {("bank", "images")}:
            new, old = at(config, path), at(base, path)
            assert isinstance(new, type(old)) or {type(new), type(old)} == {int, float}, path
            assert type(old) is not int or type(new) is int or "learning_rate" in path[-1], path
    for folder in config["directories"].values():
        assert not re.search(r"[{}\0\n]", folder)
    for name in [*config["networks"], *config["datasets"], *config["recipes"]]:
        assert re.fullmatch("[a-z0-9_-]{1,64}", name)
    for part in config["seeds"].values():
        torch.Generator().manual_seed(part["first"] + part["count"])
        assert len(range(part["first"], part["first"] + part["count"])) < 2**21
    for recipe in config["recipes"].values():
        TrainingRecipe(**recipe)
    for name in config["evaluate"]:
        network = config["networks"][name]
        if network["checkpoint"] == "external":
            assert Path(network["module"]).is_file()
            assert Path(network["weights"]).is_file()
        elif network["checkpoint"] == "edm":
            assert Path(network["weights"]).is_file()
        else:
            assert isinstance(network_config(config, name), NetworkConfig)


@st.composite
def mutated_configs(draw):
    base = draw(st.sampled_from(CONFIGS))
    config = copy.deepcopy(base)
    return base, config, [mutate(draw, config) for _ in range(draw(st.sampled_from([1, 1, 1, 3])))]


@pytest.mark.slow
def test_mutated_configs_are_valid_or_refused_by_name():
    outcomes = Counter()

    @cases(700)
    @given(mutated_configs())
    def check(case):
        base, config, changed = case
        refusal = None
        try:
            validate_config(config, ROOT / "checkpoints")
        except ConfigError as error:
            refusal = str(error)
        outcomes["valid" if refusal is None else "refused"] += 1
        if refusal is None:
            assert_usable(config, base)
            return
        for line in refusal.splitlines():
            where = re.match(r"the config: |([a-z]+)[^:]*: ", line)
            assert where, line
            assert where[1] is None or where[1] in base, line
        if len(changed) == 1:
            names = [key for key in changed[0] if isinstance(key, str)][-2:]
            at_top = len(changed[0]) == 1 and "the config: " in refusal
            assert at_top or any(name in refusal for name in names), (names, refusal)

    check()
    assert outcomes["refused"] >= 500
    assert outcomes["valid"] >= 20


@pytest.mark.parametrize("config", [None, [], "text", 3, {}])
def test_what_is_no_config_is_refused(config):
    with pytest.raises(ConfigError, match="the config: "):
        validate_config(config, ROOT / "checkpoints")


# ---------------------------------------------------------------------------- broken content


@st.composite
def broken(draw, content):
    """Content that was cut, whose bits were flipped, or of which a part was replaced or added."""
    content = bytearray(content)
    position = st.integers(0, len(content) - 1)
    match draw(st.sampled_from(["cut", "flip", "flip", "flips", "replace", "insert", "append"])):
        case "cut":
            del content[draw(position) :]
        case "flip":
            content[draw(position)] ^= 1 << draw(st.integers(0, 7))
        case "flips":
            for _ in range(draw(st.integers(2, 20))):
                content[draw(position)] ^= 1 << draw(st.integers(0, 7))
        case "replace":
            start = draw(position)
            content[start : start + draw(st.integers(1, 16))] = draw(st.binary(max_size=16))
        case "insert":
            start = draw(position)
            content[start:start] = draw(st.binary(min_size=1, max_size=9))
        case "append":
            content += draw(st.binary(min_size=1, max_size=9))
    return bytes(content)


def attempt(outcomes, call, name, error_type):
    """The result of ``call``, or None where it ended in an error of that type that holds ``name``.

    Anything else that it raises is a defect. It takes little memory, whatever its input promises.
    """
    tracemalloc.start()
    try:
        result, refusal = call(), None
    except error_type as error:
        result, refusal = None, str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    outcomes["read" if refusal is None else "refused"] += 1
    assert refusal is None or str(name) in refusal, f"{name} is not named: {refusal}"
    assert peak < 2 * MOST_IMAGE_BYTES, f"{peak} bytes were taken"
    return result


# ---------------------------------------------------------------------------- IDX


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 6, 7), dtype=np.uint8)


@st.composite
def idx_files(draw):
    match draw(st.sampled_from(["broken", "header", "noise"])):
        case "broken":
            return draw(broken(idx(PIXELS)))
        case "header":
            dimensions = draw(st.integers(0, 255))
            sizes = st.sampled_from([0, 1, 2, 5, 6, 7, 2**16, 2**31, 2**32 - 1])
            shape = [draw(sizes) for _ in range(dimensions)]
            header = struct.pack(f">4B{dimensions}I", 0, 0, 8, dimensions, *shape)
            return header + bytes(draw(st.integers(0, 300)))
        case "noise":
            return draw(st.binary(max_size=64))


def test_broken_idx_files_end_in_a_clear_error():
    outcomes = Counter()

    @cases(150)
    @given(idx_files())
    def check(content):
        with folder() as where:
            path = Path(where, "train-images-idx3-ubyte")
            path.write_bytes(content)
            array = attempt(outcomes, lambda: read_idx(path), path, DatasetError)
            if array is not None:
                assert array.dtype == np.uint8
                assert 0 < array.size <= len(content)

    check()
    assert outcomes["refused"] >= 100


# ---------------------------------------------------------------------------- gzip downloads


def test_broken_downloads_are_refused_and_leave_nothing(monkeypatch):
    """A local copy of a download that is no gzip, cut, altered, or a bomb."""
    outcomes, content = Counter(), idx(PIXELS)
    known = RawFile("images", hashlib.sha256(content).hexdigest(), len(content))
    dataset = dataclasses.replace(REGISTRY["mnist"], files=(known,), sources=())
    monkeypatch.setitem(REGISTRY, "mnist", dataset)
    bomb = gzip.compress(bytes(2**26))

    @cases(70)
    @given(st.one_of(broken(gzip.compress(content, mtime=0)), broken(content), st.just(bomb)))
    def check(stored):
        with folder() as where:
            local, raw = Path(where, "images.gz"), Path(where, "raw")
            local.write_bytes(stored)

            def fetched():
                return fetch("mnist", raw, local=local, progress=False)

            if attempt(outcomes, fetched, local.name, DatasetError) is None:
                assert list(raw.iterdir()) == []
            else:
                assert (raw / "images").read_bytes() == content

    check()
    assert outcomes["refused"] >= 50


# ---------------------------------------------------------------------------- CIFAR-10


def tar(members, mode):
    """An archive of (member, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def regular(name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


RECORDS = bytes([3]) + bytes(range(256)) * 12 + bytes([9]) + bytes(3072)
BATCH = "cifar-10-batches-bin/test_batch.bin"


@st.composite
def cifar_archives(draw):
    if draw(st.booleans()):
        return draw(broken(tar([regular(BATCH, RECORDS)], "w:gz")))
    batch = draw(
        st.sampled_from(
            [
                RECORDS[: draw(st.integers(0, len(RECORDS)))],
                RECORDS + draw(st.binary(max_size=5)),
                bytes([draw(st.integers(0, 255))]) + RECORDS[1:],
                bytes(3073 * 10001),
            ]
        )
    )
    return tar([regular(draw(st.sampled_from([BATCH, BATCH[1:]])), batch)], "w:gz")


@pytest.mark.slow
def test_broken_cifar10_archives_end_in_a_clear_error(monkeypatch):
    """Only an archive with the very file is taken; of any other nothing is left."""
    outcomes = Counter()
    known = RawFile("test_batch.bin", hashlib.sha256(RECORDS).hexdigest(), len(RECORDS))
    dataset = dataclasses.replace(REGISTRY["cifar10"], files=(known,), sources=())
    monkeypatch.setitem(REGISTRY, "cifar10", dataset)

    @cases(80)
    @given(cifar_archives())
    def check(content):
        with folder() as where:
            local, raw = Path(where, "cifar-10-binary.tar.gz"), Path(where, "raw")
            local.write_bytes(content)

            def fetched():
                return fetch("cifar10", raw, local=local, progress=False)

            if attempt(outcomes, fetched, local.name, DatasetError) is None:
                assert list(raw.iterdir()) == []
            else:
                assert (raw / "test_batch.bin").read_bytes() == RECORDS

    check()
    assert outcomes["refused"] >= 40


def test_broken_cifar10_records_end_in_a_clear_error():
    outcomes = Counter()

    @cases(60)
    @given(
        st.one_of(
            st.integers(0, len(RECORDS)).map(lambda size: RECORDS[:size]),
            st.binary(max_size=5).map(lambda more: RECORDS + more),
            st.integers(0, 255).map(lambda label: bytes([label]) + RECORDS[1:]),
        )
    )
    def check(content):
        with folder() as where:
            (Path(where) / "test_batch.bin").write_bytes(content)

            def pictures():
                raw = read_cifar10(Path(where), "test")
                return [picture.size for _, picture in raw.pictures(len(raw.ids))]

            for size in attempt(outcomes, pictures, where, DatasetError) or []:
                assert size == (32, 32)

    check()
    assert outcomes["refused"] >= 20


# ---------------------------------------------------------------------------- collections


def encoded(mode, kind, **options):
    """A small picture of noise of any mode."""
    random_bytes = random.Random(0).randbytes(12 * 9 * 8)
    depth = {"1": 1, "I;16": 2, "LA": 2, "RGB": 3}.get(mode, 1 if mode in "LP" else 4)
    source = {"1": "L"}.get(mode, mode)
    picture = Image.frombytes(source, (12, 9), random_bytes[: 12 * 9 * depth]).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif():
    made = Image.Exif()
    made[0x0112], made[0x010E] = 6, "a description"
    return made


GOOD = encoded("L", "PNG")
PICTURES = [
    *(encoded(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(encoded(mode, "JPEG") for mode in ("L", "RGB", "CMYK")),
    *(encoded("RGB", kind, exif=exif()) for kind in ("PNG", "JPEG")),
    encoded("RGB", "JPEG", progressive=True),
    encoded("L", "GIF"),
    encoded("L", "TIFF"),
]


def png(width, height, content=b""):
    """A PNG whose header promises a size that its content does not hold."""
    result = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for name, data in ((b"IHDR", header), (b"IDAT", content), (b"IEND", b"")):
        body = name + data
        result += struct.pack(">I", len(data)) + body + struct.pack(">I", zipfile.crc32(body))
    return result


SIZES = st.sampled_from([0, 1, 4, 9000, 2**16, 2**31 - 1, 2**32 - 1])
IMAGES = st.one_of(
    st.sampled_from(PICTURES),
    st.sampled_from(PICTURES).flatmap(broken),
    st.builds(png, SIZES, SIZES, st.binary(max_size=20)),
    st.binary(max_size=40),
)
KINDS = st.sampled_from(["folder", "tar", "gz", "bz2", "xz", "zip"])


def collection(where, kind, files):
    """A folder or an archive of files."""
    path = Path(where, "collection")
    if kind == "folder":
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        mode = "w" if kind == "tar" else f"w:{kind}"
        path.write_bytes(tar([regular(*file) for file in files.items()], mode))
    return path


def collect(outcomes, where, path):
    """Fetch and prepare a collection as the workflow does; nothing is written but the record."""
    before = {file for file in Path(where).rglob("*") if not file.is_symlink()}
    raw = Path(where, "raw")

    def prepared():
        fetch("image_folder", raw, local=path, progress=False)
        return prepare("image_folder", raw, size=8, channels=1, progress=False)

    images = attempt(outcomes, prepared, path.name, DatasetError)
    after = {file for file in Path(where).rglob("*") if not file.is_symlink()}
    written = {file.relative_to(where).as_posix() for file in after - before}
    assert written <= {"raw", "raw/provenance.json"}
    if images is not None:
        assert images.images.shape[1:] == (1, 8, 8)
    return images


@pytest.mark.slow
def test_broken_images_end_in_a_clear_error():
    outcomes = Counter()

    @cases(200)
    @given(KINDS, IMAGES, st.sampled_from(["a.png", "ü é/b c.JPG", "class/x.jpeg"]))
    def check(kind, content, name):
        with folder() as where:
            files = {f"{Path(name).parent}/good.png": GOOD, name: content}
            path = collection(where, kind, files)
            images = collect(outcomes, where, path)
            assert images is None or len(images) == 2

    check()
    assert outcomes["refused"] >= 100
    assert outcomes["read"] >= 30


def whole(kind):
    with folder() as where:
        files = {"a/1.png": GOOD, "b/2.jpg": PICTURES[8], "b/notes.txt": b"notes"}
        return collection(where, kind, files).read_bytes()


ARCHIVES = [whole(kind) for kind in ("tar", "gz", "bz2", "xz", "zip")]


def test_broken_archives_end_in_a_clear_error():
    outcomes = Counter()

    @cases(200)
    @given(st.sampled_from(ARCHIVES).flatmap(broken))
    def check(content):
        with folder() as where:
            path = Path(where, "collection")
            path.write_bytes(content)
            collect(outcomes, where, path)

    check()
    assert outcomes["refused"] >= 100


HOSTILE_NAMES = [
    "../out.png",
    "a/../../out.png",
    "/out.png",
    "..\\out.png",
    "\\out.png",
    "a/..",
    "./../out.png",
    "//out.png",
]
LINKS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]


@pytest.mark.parametrize("kind", ["tar", "gz", "bz2", "xz", "zip"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_members_that_lead_outside_are_refused(kind, name):
    outcomes = Counter()
    with folder() as where:
        collect(outcomes, where, collection(where, kind, {"good.png": GOOD, name: GOOD}))
    assert outcomes["refused"]


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("target", ["good.png", "../collection", "/etc/hostname"])
def test_links_and_devices_are_refused(kind, target):
    outcomes, link = Counter(), tarfile.TarInfo("link.png")
    link.type, link.linkname = kind, target
    with folder() as where:
        path = Path(where, "collection")
        path.write_bytes(tar([regular("good.png", GOOD), (link, b"")], "w:gz"))
        collect(outcomes, where, path)
    assert outcomes["refused"]


def bomb_of_one_image():
    return tar([regular("a.png", bytes(2**27))], "w:gz")


def bomb_of_many_images():
    return tar([regular(f"{i}.png", bytes(2**24)) for i in range(8)], "w:gz")


def bomb_beside_images():
    return tar([regular("a.png", GOOD), regular("notes", bytes(2**28))], "w:gz")


def bomb_in_a_header():
    """A tar header that says that a name of 128 MiB follows, which tarfile would read at once."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**27
    return gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(2**27))


def zip_bomb(count, size):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(count):
            archive.writestr(f"{i}.png", bytes(size))
    return buffer.getvalue()


def picture_bomb():
    """A PNG that promises 30000 x 30000 pixels."""
    return tar([regular("a.png", png(30000, 30000))], "w")


@pytest.mark.parametrize(
    "made",
    [
        bomb_of_one_image,
        bomb_of_many_images,
        bomb_beside_images,
        bomb_in_a_header,
        lambda: zip_bomb(1, 2**27),
        lambda: zip_bomb(8, 2**24),
        picture_bomb,
    ],
    ids=["image", "images", "beside", "header", "zip image", "zip images", "picture"],
)
@pytest.mark.slow
def test_decompression_bombs_are_refused(made):
    outcomes = Counter()
    with folder() as where:
        path = Path(where, "collection")
        path.write_bytes(made())
        collect(outcomes, where, path)
    assert outcomes["refused"]


def test_folders_with_what_is_no_image_file_are_refused():
    """Broken links and pipes; links to files are the user's own and are read."""
    for make in (
        lambda path: path.symlink_to("nowhere"),
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
    ):
        outcomes = Counter()
        with folder() as where:
            path = collection(where, "folder", {"good.png": GOOD})
            make(path / "bad.png")
            collect(outcomes, where, path)
            with pytest.raises(DatasetError, match=r"bad\.png"):
                collection_stamp(path)
        assert outcomes["refused"]


# ---------------------------------------------------------------------------- arrays on disk


def prepared_images():
    pixels = RNG.integers(0, 256, (4, 1, 6, 6), dtype=np.uint8)
    return Images(pixels, np.arange(4) % 2, np.arange(4), ("a", "b"), {"dataset": "made"})


def made_samples():
    noise = RNG.normal(size=(3, 1, 4, 4)).astype(np.float32)
    return Samples(noise, np.arange(3), np.arange(3), {"machine": "is"})


def saved(save, made):
    with folder() as where:
        save(Path(where, "made.npz"), made)
        return Path(where, "made.npz").read_bytes()


ARRAY_FILES = {
    "images": (saved(save_images, prepared_images()), load_images, DatasetError),
    "samples": (saved(save_samples, made_samples()), load_samples, SamplesError),
}


@st.composite
def altered_npz(draw, content):
    """The arrays of an npz file with others in place of some, and its record made to fit."""
    arrays = dict(np.load(io.BytesIO(content)))
    name = draw(st.sampled_from(sorted(arrays)))
    old = arrays[name]
    made = [
        lambda: np.zeros(old.shape),
        lambda: old.astype(object),
        lambda: old[..., None],
        lambda: np.atleast_1d(old)[:0],
        lambda: np.array(None),
        lambda: np.array("[1]"),
        lambda: np.array("[" * 5000),
        lambda: np.array('{"class_names": 5, "sha256": null}'),
        lambda: np.full(old.shape, np.nan, np.float32),
        lambda: np.concatenate([old, old]) if old.ndim else old,
    ]
    arrays[name] = draw(st.sampled_from(made))()
    if draw(st.booleans()):
        del arrays[draw(st.sampled_from(sorted(arrays)))]
    buffer = io.BytesIO()
    draw(st.sampled_from([np.savez, np.savez, np.savez_compressed]))(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ARRAY_FILES)
def test_broken_arrays_are_detected_and_named(kind):
    content, load, error = ARRAY_FILES[kind]
    outcomes = Counter()

    @cases(150)
    @given(st.one_of(broken(content), broken(content), altered_npz(content)))
    def check(stored):
        with folder() as where:
            path = Path(where, "made.npz")
            path.write_bytes(content)
            expected = load(path)
            path.write_bytes(stored)
            found = attempt(outcomes, lambda: load(path), path, error)
            if found is not None:  # what was hit does not matter, as a member's date
                assert found.digest == expected.digest
                assert found.record == expected.record

    check()
    assert outcomes["refused"] >= 100


def test_headers_that_promise_more_than_the_file_are_refused():
    """A consistent zip file of an array of 2^40 bytes, of which eight are there."""
    for kind, (_, load, error) in ARRAY_FILES.items():
        with folder() as where:
            path = Path(where, "huge.npz")
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header, {"descr": "|u1", "fortran_order": False, "shape": (2**40,)}
            )
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(f"{kind}.npy", header.getvalue() + bytes(8))
            outcomes = Counter()
            attempt(outcomes, lambda: load(path), path, error)  # noqa: B023
            assert outcomes["refused"]


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("kind", ARRAY_FILES)
def test_pickled_objects_are_not_loaded(kind):
    content, load, error = ARRAY_FILES[kind]
    arrays = dict(np.load(io.BytesIO(content)))
    for name in arrays:
        with folder() as where:
            path = Path(where, "made.npz")
            np.savez(path, **{**arrays, name: np.array([Harmful()], dtype=object)})
            with pytest.raises(error, match=r"made\.npz: .*pickle"):
                load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(value):
    """With a digest that fits, so that only their content tells."""
    made = made_samples()
    made.images[1, 0, 2, 2] = value
    record = json.dumps({**made.record, "sha256": made.digest})
    with folder() as where:
        path = Path(where, "made.npz")
        np.savez(path, images=made.images, seeds=made.seeds, labels=made.labels, record=record)
        with pytest.raises(SamplesError, match=r"made\.npz: NaN or infinite pixels for seeds \[1"):
            load_samples(path)


# ---------------------------------------------------------------------------- checkpoints, scales


def written_network(where):
    config = NetworkConfig("resnet", size=8, channels=2, layers=1)
    torch.manual_seed(0)
    path = Path(where, "made.safetensors")
    record = {"network": dataclasses.asdict(config), "loss_curve": [0.5, 0.25], "dataset": "made"}
    save_checkpoint(path, build_network(config).state_dict(), record)
    return path


def load_network(path):
    network, record = load_checkpoint(path)
    return {name: value.tolist() for name, value in network.state_dict().items()}, record


def written_scales(where):
    path = Path(where, "made.scales.csv")
    path.write_text("t,patch_size,cosine\n0.5,3,0.9\n1.0,5,0.8\n")
    save_scales_record(record_path(path), [path], {"weights_sha256": "ours", "steps": 2})
    return path


def load_both(path):
    verify_scales(record_path(path), "ours")
    return read_scales(path), json.loads(record_path(path).read_text())


@pytest.mark.parametrize("hit", ["table", "record"])
@pytest.mark.parametrize(
    ("write", "load"), [(written_network, load_network), (written_scales, load_both)]
)
def test_broken_checkpoints_and_scales_are_detected_and_named(write, load, hit):
    outcomes = Counter()
    with folder() as where:
        path = write(where)
        target = path if hit == "table" else record_path(path)
        content, expected = target.read_bytes(), load(path)

        @cases(100)
        @given(broken(content))
        def check(stored):
            target.write_bytes(stored)
            found = attempt(outcomes, lambda: load(path), "made.", RecordError)
            assert found is None or found == expected

        check()
    assert outcomes["refused"] >= 70
