"""The networks that the paper's authors published: table, download, conversion to safetensors."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from patchmosaic.datasets.content import SourceError
from patchmosaic.datasets.sources import Transfer, Web, download
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.system.files import written_whole
from patchmosaic.system.records import RecordError


@dataclass(frozen=True)
class Published:
    """One published network, by its row of the paper's tables.

    file, blob: its name and git blob id. scales: P at t = 1/n, 2/n, ..., 1. addresses: of the
    folder of the file, in the order in which they are tried.
    """

    dataset: str
    architecture: str
    padding: str
    conditional: bool
    file: str
    blob: str
    scales: tuple[int, ...]
    addresses: tuple[str, ...]

    @property
    def row(self) -> tuple[str, str, str]:
        """Dataset, architecture and padding, which no two have in common."""
        return self.dataset, self.architecture, self.padding

    def scale_table(self) -> dict[float, int]:
        """The published locality scales, P in pixels at each time."""
        steps = len(self.scales)
        return {(i + 1) / steps: size for i, size in enumerate(self.scales)}


def load_published(path: Path) -> dict[tuple[str, str, str], Published]:
    """The published networks in numbers/authors.yaml, by dataset, architecture and padding."""
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    repository, commit = table["repository"], table["commit"]
    addresses = (
        f"https://raw.githubusercontent.com/{repository}/{commit}/files/",
        f"https://github.com/{repository}/raw/{commit}/files/",
    )
    rows = [
        Published(**row | {"scales": tuple(row["scales"])}, addresses=addresses)
        for row in table["networks"]
    ]
    return {row.row: row for row in rows}


def blob_id(path: Path) -> str:
    """The git blob id of a file: SHA-1 of "blob <size>", a zero byte, and the content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch_published(
    published: Published,
    folder: Path,
    addresses: Sequence[str] | None = None,
    *,
    timeout: float = 30.0,
    retries: int = 2,
    backoff: float = 1.0,
) -> Path:
    """The file of a published network in ``folder``, downloaded if it is not there, verified.

    Raises RecordError naming the file, with every address and its reason, where no address gives it
    or what came has another blob id; nothing is left in the folder then.
    """
    path, reasons = folder / published.file, []
    if path.exists():
        if (found := blob_id(path)) != published.blob:
            raise RecordError(
                f"{path}: expected git blob id {published.blob}, found {found}; this is not the "
                "published network: remove it to have that downloaded"
            )
        return path
    folder.mkdir(parents=True, exist_ok=True)
    for address in published.addresses if addresses is None else addresses:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as staging:
            came = Path(staging, published.file)
            try:
                source = Web(address, backoff=backoff)
                download(
                    source, f"{address}{published.file}", came, Transfer(timeout, retries, True)
                )
            except SourceError as error:
                reasons.append(f"\n  {address}: {error}")
                continue
            if (found := blob_id(came)) == published.blob:
                with written_whole(path) as temporary:
                    shutil.copyfile(came, temporary)
                return path
            reasons.append(f"\n  {address}: expected git blob id {published.blob}, found {found}")
    raise RecordError(f"{path}: no address gave the published network{''.join(reasons)}")


def convert(path: Path, config: NetworkConfig) -> dict:
    """The weights in a published file, as a state dict of the network that ``config`` describes.

    Raises RecordError naming the file where it holds more than tensors and stand-ins, or weights of
    other names, shapes or types.
    """
    from patchmosaic.networks.build import build_network  # here: the table needs no torch
    from patchmosaic.networks.torch_files import read_tensors

    found = {name.removeprefix("backbone."): t for name, t in read_tensors(path).items()}
    expected = build_network(config).state_dict()
    if set(found) != set(expected):
        missing, more = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
        differences = [f"it lacks {', '.join(missing)}"] if missing else []
        differences += [f"it has {', '.join(more)} beside"] if more else []
        raise RecordError(
            f"{path}: not a {config.architecture} like this: {'; '.join(differences)}"
        )
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise RecordError(
                f"{path}: {name} has shape {tuple(found[name].shape)} and {found[name].dtype}, "
                f"expected {tuple(tensor.shape)} and {tensor.dtype}"
            )
        if not found[name].isfinite().all():
            raise RecordError(f"{path}: {name} holds numbers that are not finite")
    return {name: found[name].contiguous() for name in expected}
