"""Raw files from their sources into a folder, verified, with a record of where they came from."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from patchmosaic.datasets.content import DatasetError, RawFile, SourceError, sha256_of
from patchmosaic.datasets.image_files import collection_digest
from patchmosaic.datasets.readers import COLLECTION_LINK
from patchmosaic.datasets.registry import Dataset, find_dataset
from patchmosaic.datasets.sources import LocalPath, Source, Transfer
from patchmosaic.system.files import written_whole

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
) -> dict[str, object]:
    """Make `directory` hold the verified raw files of a dataset, and say where they came from.

    Files that are there and have the right SHA-256 are kept, and nothing is asked of the network
    for them. The others come from `local` (a folder, or the file itself), then from each of the
    dataset's sources, or of `sources` in their place, until one gives every missing file verified.
    celeba, cifar10_jpeg and image_folder are read only from `local`, a folder or a tar or zip
    archive: it is linked into `directory` as `images` and stays where it is.

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
    if dataset.only_local:
        files = {COLLECTION_LINK: _link_collection(dataset, directory, local)}
    else:
        tried = () if local is None else (LocalPath(local),)
        tried += dataset.sources if sources is None else tuple(sources)
        files = _fetch_files(dataset, directory, tried, Transfer(timeout, retries, progress))
    record = {"dataset": dataset_id, "files": files}
    with written_whole(directory / PROVENANCE) as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    return record


def verified_record(dataset: Dataset, directory: Path) -> dict[str, object]:
    """The record that `fetch` left, after checking that the raw files still are what it says.

    Raises DatasetError naming the file with its expected and found SHA-256.
    """
    record = _read_record(directory)
    if record.get("dataset") != dataset.id:
        raise DatasetError(f"{directory}: it does not hold {dataset.id}; fetch it first")
    names = {COLLECTION_LINK} if dataset.only_local else {file.name for file in dataset.files}
    if set(record["files"]) != names:
        raise DatasetError(
            f"{directory / PROVENANCE}: it tells of {', '.join(record['files']) or 'no file'}, "
            f"expected {', '.join(sorted(names))}; fetch {dataset.id} again"
        )
    for name, entry in record["files"].items():
        path = directory / name
        if not path.exists() or (path.is_dir() and not dataset.only_local):
            raise DatasetError(f"{path}: it is gone; fetch {dataset.id} again")
        found = collection_digest(path)[0] if dataset.only_local else sha256_of(path)
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
) -> dict[str, dict[str, object]]:
    known = _read_record(directory).get("files", {})
    origin = {
        file.name: known.get(file.name, {}).get("source", "found in the folder")
        for file in dataset.files
        if _is_there(directory, file)
    }
    missing = [file for file in dataset.files if file.name not in origin]
    if missing:
        source = _deliver(dataset, missing, directory, sources, transfer)
        origin |= {file.name: source for file in missing}
    return {
        file.name: {"sha256": file.sha256, "bytes": file.size, "source": origin[file.name]}
        for file in dataset.files
    }


def _deliver(
    dataset: Dataset,
    files: Sequence[RawFile],
    directory: Path,
    sources: Sequence[Source],
    transfer: Transfer,
) -> str:
    """The name of the first source that gave all files, which are in `directory` then."""
    reasons = []
    for source in sources:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as staging:
            try:
                source.deliver(files, Path(staging), transfer)
            except SourceError as error:
                log.warning("%s: %s gave nothing: %s", dataset.id, source.name, error)
                reasons.append(f"\n  {len(reasons) + 1}. {source.name}: {error}")
                continue
            for file in files:
                os.replace(Path(staging, file.name), directory / file.name)
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


def _link_collection(dataset: Dataset, directory: Path, local: Path | None) -> dict[str, object]:
    link = directory / COLLECTION_LINK
    if local is None and not link.exists():
        raise DatasetError(
            f"{dataset.id}: it is read only from where you say; name its folder or archive as local"
        )
    sha256, size = collection_digest(local or link)
    if local is not None:
        with written_whole(link) as temporary:
            temporary.symlink_to(local.resolve())
    return {"sha256": sha256, "bytes": size, "source": f"local {link.resolve().name}"}


def _read_record(directory: Path) -> dict[str, object]:
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
