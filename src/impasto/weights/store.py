"""The weights of a network: from the user's file, the cache, or a download.

VGG-16 and VGG-19 are those that torchvision publishes, trained on ImageNet; only the convolutions
are used. Other networks only measure pictures. A download is checked against the hash in
``registry.py``, read without executing code from it, and cached as safetensors.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from impasto import files
from impasto.errors import SettingsError, WeightsError
from impasto.weights import download, formats
from impasto.weights.download import Progress
from impasto.weights.registry import HEADS_FILE, HEADS_SHA256, MEASURING, SOURCES, Source

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Listed",
    "Progress",
    "cache_folder",
    "fetch",
    "fingerprint",
    "listing",
    "load",
    "load_heads",
    "sha256",
    "verify",
]


@dataclass(frozen=True)
class Listed:
    """One network in :func:`listing`.

    ``download_bytes`` is the size of the download, ``size_bytes`` that of the cached file.
    """

    name: str
    parameters: int
    download_bytes: int
    size_bytes: int
    source: str
    licence: str
    cached: Path
    present: bool


def load(
    name: str = "vgg16",
    *,
    file: str | Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    notify: Callable[[str], object] = lambda note: None,
) -> dict[str, Tensor]:
    """Load the convolutions of a network.

    Args:
        name: ``vgg16`` or ``vgg19``; ``alexnet`` or ``dists``, which only measure pictures.
        file: a weights file, safetensors or ``.pth``. Its network takes RGB normalised like
            torchvision's, or BGR in 0..255 minus the mean like Caffe's, which is converted. By
            default the file in the environment variable IMPASTO_WEIGHTS_VGG16 (or _VGG19), else
            the cache, else a download.
        offline: never download; IMPASTO_OFFLINE=1 says the same.
        progress: called while weights are downloaded.
        notify: called with a note if the file is of another convention, and was converted.

    Returns:
        ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` (out,) ... in float32.

    Raises:
        SettingsError: no such network.
        WeightsError: the weights are absent and cannot be fetched, damaged, or another network's.
    """
    user_file = _user_file(name, file)
    if user_file is not None:
        return formats.read(user_file, name, notify)
    source = _source(name)
    path = _cached(name)
    data = _read(path)
    if data is None or not _is_good(source, data):
        data = files.read_regular(fetch(name, offline=offline, progress=progress))
    return formats.parse(data, name, repr(str(path)))


def load_heads(*, offline: bool = False, progress: Progress | None = None) -> dict[str, Tensor]:
    """Load the linear heads with which LPIPS weights the channels of VGG-16.

    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
    CVPR 2018. They come with VGG-16's weights; if the cache has no heads, both are downloaded.

    Args:
        offline: as in :func:`load`.
        progress: as in :func:`load`.

    Returns:
        A weight (channels,) for each channel of ``relu1_2``, ``relu2_2``, ``relu3_3``,
        ``relu4_3`` and ``relu5_3``.

    Raises:
        WeightsError: they are absent and cannot be fetched.
    """
    path = cache_folder() / HEADS_FILE
    data = _read(path)
    if data is None or hashlib.sha256(data).hexdigest() != HEADS_SHA256:
        if _is_offline(offline=offline):
            raise WeightsError(
                f"cannot fetch the heads of LPIPS: downloads are off, and {str(path)!r} is "
                f"{'absent' if data is None else 'damaged'}; fetch them on a machine with network "
                "(impasto weights fetch vgg16 --force) and copy that file here"
            )
        fetch("vgg16", progress=progress, force=True)
        data = _read(path)
    if data is None or hashlib.sha256(data).hexdigest() != HEADS_SHA256:
        raise _missing("vgg16", f"{HEADS_FILE} could not be saved beside it")
    return formats.parse_heads(data, repr(str(path)))


def fetch(
    name: str = "vgg16",
    *,
    offline: bool = False,
    progress: Progress | None = None,
    force: bool = False,
) -> Path:
    """Download a network's weights into the cache, unless a good copy is there.

    If several processes fetch at once, one downloads and the others wait for it.

    Args:
        name: ``vgg16`` or ``vgg19``; ``alexnet`` or ``dists``, which only measure pictures.
        offline: never download; IMPASTO_OFFLINE=1 says the same.
        progress: called during the download.
        force: download even if a good copy is cached.

    Returns:
        The cached file.

    Raises:
        SettingsError: no such network.
        WeightsError: the download fails or is not allowed, or the cache cannot be written.
    """
    source = _source(name)
    path = _cached(name)
    report = progress or _silent
    if not force and verify(name) == "good":
        return path
    if _is_offline(offline=offline):
        raise _missing(name, "downloads are off")
    with _locked(path, report):
        # Another process may have downloaded them while this one waited.
        if force or verify(name) != "good":
            try:
                data = formats.encode(source.tensors(name, path.parent, report))
            except WeightsError as error:
                raise _missing(name, str(error)) from None
            if not _is_good(source, data):
                raise _missing(name, f"{source.description} has other weights than expected")
            try:
                files.replace(path, data)
            except OSError as error:
                raise download.unwritable(path, error) from None
            source.tidy(path.parent)
    return path


def verify(name: str = "vgg16") -> Literal["absent", "damaged", "good"]:
    """Hash a network's cached weights again, and return their state.

    Raises:
        SettingsError: no such network.
        WeightsError: the file cannot be read.
    """
    source = _source(name)
    data = _read(_cached(name))
    if data is None:
        return "absent"
    return "good" if _is_good(source, data) else "damaged"


def sha256(name: str = "vgg16", *, file: str | Path | None = None) -> str | None:
    """Hash the file that :func:`load` would read with the same arguments.

    Returns:
        The SHA-256 in hexadecimal digits; None if the weights are not cached.

    Raises:
        SettingsError: no such network.
        WeightsError: the file cannot be read.
    """
    user_file = _user_file(name, file)
    if user_file is None:
        _source(name)
    path = user_file or _cached(name)
    try:
        return download.sha256_of(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if user_file is None:
            return None
        raise _unreadable(path, error) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def fingerprint(
    name: str = "vgg16", *, file: str | Path | None = None
) -> tuple[str, int, int] | None:
    """Identify the file that :func:`load` would read, without reading it.

    Returns:
        Its path, its time of change in nanoseconds and its size in bytes; None if it is absent.
    """
    path = _user_file(name, file) or _cached(name)
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_mtime_ns, status.st_size


def listing() -> tuple[Listed, ...]:
    """List the networks, where their weights come from, and whether they are cached."""
    listed = []
    for name, source in SOURCES.items():
        parameters = sum(prod(shape) for shape in formats.shapes(name).values())
        path = _cached(name)
        listed.append(
            Listed(
                name=name,
                parameters=parameters,
                download_bytes=source.size_bytes,
                size_bytes=4 * parameters,
                source=source.description,
                licence=source.licence,
                cached=path,
                present=os.access(path, os.R_OK),
            )
        )
    return tuple(listed)


def cache_folder() -> Path:
    """Return the folder of downloaded weights; the variable IMPASTO_CACHE overrides it.

    Raises:
        WeightsError: the variable is not set, and the user has no home folder.
    """
    try:
        return files.cache_folder()
    except RuntimeError:
        raise WeightsError(
            "no folder for the weights: expected a home folder, and this user has none; name a "
            "folder in the environment variable IMPASTO_CACHE"
        ) from None


def _silent(message: str, done_bytes: int, total_bytes: int | None) -> None:
    """Report nothing."""


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise SettingsError(
            f"no source of weights for the network {name!r}: expected one of "
            f"{', '.join(SOURCES)}; choose one, or give a weights file with --weights FILE"
        )
    return SOURCES[name]


def _cached(name: str) -> Path:
    return cache_folder() / f"{name}.safetensors"


def _variable(name: str) -> str:
    return f"IMPASTO_WEIGHTS_{name.upper()}"


def _user_file(name: str, file: str | Path | None) -> Path | None:
    chosen = file or os.environ.get(_variable(name))
    return Path(chosen).expanduser() if chosen else None


def _is_offline(*, offline: bool) -> bool:
    return offline or os.environ.get("IMPASTO_OFFLINE", "").lower() not in ("", "0", "false", "no")


def _read(path: Path) -> bytes | None:
    try:
        return files.read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from None


def _is_good(source: Source, data: bytes) -> bool:
    if source.cached_sha256 is None:
        return formats.is_sealed(data)
    return hashlib.sha256(data).hexdigest() == source.cached_sha256


@contextmanager
def _locked(path: Path, report: Progress) -> Iterator[None]:
    """Hold the lock under which one process at a time downloads ``path``."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report(f"waiting for another process that fetches {path.name}", 0, None)
            lock.acquire()
    except OSError as error:
        raise download.unwritable(path, error) from None
    try:
        yield
    finally:
        lock.release()


def _missing(name: str, cause: str) -> WeightsError:
    """Return an error that lists the ways to get the weights; ``--weights`` is only for VGG."""
    path = _cached(name)
    if name in MEASURING:
        return WeightsError(
            f"cannot fetch the weights of {name}: {cause} ({str(path)!r} is {verify(name)}); "
            f"fetch them on a machine with network (impasto weights fetch {name}) and copy that "
            "file here"
        )
    return WeightsError(
        f"cannot fetch the weights of {name}: {cause} ({str(path)!r} is {verify(name)}); either "
        f"fetch them on a machine with network (impasto weights fetch {name}) and copy that file "
        "here, or give a weights file with --weights FILE, or name one in the environment "
        f"variable {_variable(name)}"
    )


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(
        f"{str(path)!r} cannot be read: expected a weights file, got {error.strerror or error}; "
        "check the path and its permissions"
    )
