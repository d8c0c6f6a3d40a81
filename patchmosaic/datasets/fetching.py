"""Raw files from their sources into a folder, verified, with a record of where they came from."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from patchmosaic.datasets.content import DatasetError, RawFile, SourceError
from patchmosaic.datasets.image_files import collection_digest
from patchmosaic.datasets.readers import COLLECTION_LINK
from patchmosaic.datasets.registry import Dataset, find_dataset
from patchmosaic.datasets.sources import ImageSource, LocalPath, Source, Transfer
from patchmosaic.system.files import sha256_of, written_whole

log = logging.getLogger(__name__)

PROVENANCE = "provenance.json"


def fetch(
    dataset_id: str,
    directory: str | Path,
    *,
    local: str | Path | None = None,
    sources: Sequence[Source] | None = None,
    timeout: float = 30.0,
    retries: int = 2,
    progress: bool = True,
) -> dict:
    """Make `directory` hold the verified raw files of a dataset, and say where they came from.

    Files that are there and have the right SHA-256 are kept, and nothing is asked of the network
    for them. The others come from `local` (a folder, or the file itself), then from each of the
    dataset's sources, or of `sources` in their place, until one gives every missing file verified.
    Collections of image files are read in place from `local`, a folder or a tar or zip archive: it
    is linked into `directory` as `images` and stays where it is, as an image_array's file is.
    celeba, image_folder and image_array are read only from there; of the others, every image is
    verified, wherever they come from.

    timeout: seconds without an answer after which a transfer is given up. retries: further tries at
    a broken transfer. progress: show a bar on a terminal.

    Returns the record that it also writes to provenance.json: {"dataset", "files": {name:
    {"sha256", "bytes", "source"}}}, the same whenever the content and the sources are.
    Raises DatasetError for an unknown dataset or a local path that is not there, and, naming every
    source and its reason, when no source gives the files.
    """
    dataset, directory = find_dataset(dataset_id), Path(directory)
    local = None if local is None else Path(local)
    if local is not None and not local.exists():
        raise DatasetError(f"{dataset_id}: the local path {local} does not exist")
    holds = _read_record(directory).get("dataset", dataset_id)
    if holds != dataset_id:
        raise DatasetError(f"{directory}: it holds {holds}, not {dataset_id}; use another folder")
    directory.mkdir(parents=True, exist_ok=True)
    transfer = Transfer(timeout, retries, progress)
    remote = dataset.sources if sources is None else tuple(sources)
    if dataset.is_collection:
        files = {COLLECTION_LINK: _bring_images(dataset, directory, local, remote, transfer)}
    else:
        tried = () if local is None else (LocalPath(local),)
        files = _fetch_files(dataset, directory, (*tried, *remote), transfer)
    record = {"dataset": dataset_id, "files": files}
    with written_whole(directory / PROVENANCE) as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    return record


def verified_record(dataset: Dataset, directory: Path) -> dict:
    """The record that `fetch` left, after checking that the raw files still are what it says.

    Raises DatasetError naming the file with its expected and found SHA-256.
    """
    record = _read_record(directory)
    if record.get("dataset") != dataset.id:
        raise DatasetError(f"{directory}: it does not hold {dataset.id}; fetch it first")
    names = {COLLECTION_LINK} if dataset.is_collection else {file.name for file in dataset.files}
    if set(record["files"]) != names:
        raise DatasetError(
            f"{directory / PROVENANCE}: it tells of {', '.join(record['files']) or 'no file'}, "
            f"expected {', '.join(sorted(names))}; fetch {dataset.id} again"
        )
    for name, entry in record["files"].items():
        path = directory / name
        if not path.exists() or (path.is_dir() and not dataset.is_collection):
            raise DatasetError(f"{path}: it is gone; fetch {dataset.id} again")
        found = _digest(dataset, path)[0] if dataset.is_collection else sha256_of(path)
        if found != entry["sha256"]:
            raise DatasetError(
                f"{path}: expected SHA-256 {entry['sha256']}, found {found}; "
                f"fetch {dataset.id} again"
            )
    return record


def _fetch_files(
    dataset: Dataset,
    directory: Path,
    sources: Sequence[Source],
    transfer: Transfer,
) -> dict[str, dict]:
    known = _read_record(directory).get("files", {})
    origin = {
        file.name: known.get(file.name, {}).get("source", "found in the folder")
        for file in dataset.files
        if _is_there(directory, file)
    }
    missing = [file for file in dataset.files if file.name not in origin]
    if missing:
        names = [file.name for file in missing]

        def give(source: Source, folder: Path) -> None:
            source.deliver(missing, folder, transfer)

        origin |= dict.fromkeys(names, _deliver(dataset, names, directory, sources, give))
    return {
        file.name: {"sha256": file.sha256, "bytes": file.size, "source": origin[file.name]}
        for file in dataset.files
    }


def _deliver(
    dataset: Dataset,
    names: Sequence[str],
    directory: Path,
    sources: Sequence[Source],
    give: Callable[[Source, Path], None],
) -> str:
    """The name of the first source that gave all files, which are in `directory` then."""
    reasons: list[str] = []
    for source in sources:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as staging:
            try:
                give(source, Path(staging))
            except SourceError as error:
                log.warning("%s: %s gave nothing: %s", dataset.id, source.name, error)
                reasons.append(f"\n  {len(reasons) + 1}. {source.name}: {error}")
                continue
            for name in names:
                os.replace(Path(staging, name), directory / name)
            return source.name
    raise DatasetError(f"{dataset.id}: no source gave the verified files{''.join(reasons)}")


def _is_there(directory: Path, file: RawFile) -> bool:
    path = directory / file.name
    if not path.is_file():
        return False
    found = sha256_of(path)
    if found != file.sha256:
        log.warning("%s: expected SHA-256 %s, found %s; replacing it", path, file.sha256, found)
    return found == file.sha256


def _bring_images(
    dataset: Dataset,
    directory: Path,
    local: Path | None,
    sources: Sequence[Source],
    transfer: Transfer,
) -> dict:
    """Link the user's images, verified where they are known, or download what is not there."""
    link, images = directory / COLLECTION_LINK, dataset.images
    if local is None and not link.exists():
        if images is None or not sources:
            raise DatasetError(
                f"{dataset.id}: it is read only from where you say; name its folder or archive as "
                "local"
            )

        def give(source: Source, folder: Path) -> None:
            if not isinstance(source, ImageSource):
                raise SourceError("it gives single files, not a collection of images")
            source.deliver_images(images, folder / COLLECTION_LINK, transfer)

        source = _deliver(dataset, [COLLECTION_LINK], directory, sources, give)
    else:
        known = _read_record(directory).get("files", {}).get(COLLECTION_LINK, {})
        is_download = local is None and not link.is_symlink()
        source = known.get("source") if is_download else f"local {(local or link).resolve().name}"
    sha256, size = _digest(dataset, local or link)
    if images is not None and sha256 != images.sha256:
        raise DatasetError(
            f"{local or link}: expected the images of {dataset.id} with SHA-256 {images.sha256}, "
            f"found {sha256}; bring those, or remove it to have them downloaded"
        )
    if local is not None:
        with written_whole(link) as temporary:
            temporary.symlink_to(local.resolve())
    return {"sha256": sha256, "bytes": size, "source": source or "found in the folder"}


def _digest(dataset: Dataset, path: Path) -> tuple[str, int]:
    """(SHA-256, bytes) of the images of a collection, by the names that count where it is known."""
    if dataset.is_array:
        if not path.is_file():
            raise DatasetError(f"{path}: no file; expected arrays as np.savez writes them")
        return sha256_of(path), path.stat().st_size
    if dataset.images is None:
        return collection_digest(path)
    try:
        return collection_digest(path, dataset.images.known_name)
    except DatasetError as error:
        raise DatasetError(f"{dataset.id}: {path}: {error}") from error


def _read_record(directory: Path) -> dict:
    path = directory / PROVENANCE
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        for entry in record["files"].values():
            if not isinstance(entry["sha256"], str) or not isinstance(entry["source"], str):
                raise TypeError("sha256 and source of a file must be text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{path}: not a record of a download ({error}); remove it and fetch again"
        ) from error
    return record
