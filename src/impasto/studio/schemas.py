"""The schemas of the HTTP API: works, orders and pictures."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from impasto.config.initialization import STARTS, parse_start
from impasto.config.settings import Mode, Settings, make_settings
from impasto.config.validation import Options
from impasto.errors import SettingsError
from impasto.job.job import JobSpec

MOST_STYLES = MOST_REGIONS = 8

PictureId = Annotated[
    str, Field(pattern=r"^([0-9a-f]{64}|(content|style)\.[a-z0-9_-]{1,64})$", max_length=80)
]
WorkId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
LookId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
WorkState = Literal["waiting", "painting", "paused", "finished", "cancelled", "failed"]
UNDER_WAY: tuple[WorkState, ...] = ("waiting", "painting", "paused")


class OrderRegion(Options):
    """A part of the picture with a style of its own."""

    mask: PictureId = Field(description="A picture of the photograph's shape: white inside.")
    style: PictureId = Field(description="The painting for this part.")


class Order(Options):
    """A painting to make."""

    mode: Mode = "style_transfer"
    content: PictureId | None = Field(default=None, description="The photograph's id.")
    styles: tuple[PictureId, ...] = Field(
        default=(), max_length=MOST_STYLES, description="The paintings' ids."
    )
    start: PictureId | None = Field(
        default=None,
        description="The id of a picture to start from; settings.start has the other starts.",
    )
    regions: tuple[OrderRegion, ...] = Field(default=(), max_length=MOST_REGIONS)
    preset: str | None = Field(default=None, description="Settings to begin from.")
    settings: Settings = Settings()
    parent: WorkId | None = Field(default=None, description="The work that this one goes on from.")
    confirmed: bool = Field(
        default=False,
        description="Accept the time that the plan predicts, if it needs confirmation.",
    )

    @field_serializer("settings")
    def _serialize_settings(self, settings: Settings) -> dict[str, Any]:
        return settings.model_dump(mode="json", exclude_unset=True)

    def explicit_settings(self) -> dict[str, Any]:
        """Return the settings that the preset and the order set.

        Raises:
            SettingsError: the preset is unknown, or the settings name files.
        """
        start = self.settings.start
        if start is not None and parse_start(start) is None:
            raise SettingsError(
                f"start: expected one of {', '.join(STARTS)}, got {start!r}; to start from a "
                "picture, send its id as start beside the settings"
            )
        if self.settings.region is not None:
            raise SettingsError(
                "region: expected none, because it names files; send pictures' ids as regions "
                "beside the settings"
            )
        own = self.settings.model_dump(exclude_unset=True)
        return make_settings(preset=self.preset, **own).model_dump(exclude_unset=True)


# A mask and a start belong to an order. Others are offered again: as a photograph (content), as a
# painting (style), or as both (picture).
Purpose = Literal["picture", "content", "style", "mask", "start"]
OFFERED: tuple[Purpose, ...] = ("picture", "content", "style")


class StudioPicture(BaseModel):
    """A picture that can be painted from."""

    id: PictureId
    name: str
    sha256: str = Field(description="Hash of the file, as in recipes.")
    kind: Literal["content", "style", "own"] = Field(
        default="own",
        description="content or style for pictures that come with impasto, own for uploads.",
    )
    purpose: Purpose = "picture"
    width_px: int
    height_px: int
    recipe: dict[str, Any] | None = Field(
        default=None, description="The recipe, if impasto painted it."
    )


class LookStatus(BaseModel):
    """A first look at what an order would come to."""

    id: str = Field(description="Its address is /api/looks/ID once it is ready.")
    state: Literal["waiting", "ready", "failed"]
    message: str | None = None


class Size(BaseModel):
    """One of the sizes of a painting; they go from coarse to fine."""

    width_px: int
    height_px: int
    iterations: int
    tile_px: int | None = Field(description="Largest side of a tile; null without tiles.")
    peak_bytes: int
    time_s: float


class Plan(BaseModel):
    """The expected sizes, memory and time of an order."""

    sizes: list[Size]
    peak_bytes: int = Field(description="Expected peak of the memory.")
    time_s: float = Field(description="Expected duration.")
    needs_confirmation: bool = Field(
        default=False, description="Whether it takes so long that the order must be confirmed."
    )


class SteeringChange(BaseModel):
    """A change of settings while painting."""

    step: int
    settings: dict[str, Any]


class Work(BaseModel):
    """A painting that waits, is being painted, or has ended."""

    model_config = ConfigDict(validate_assignment=True)

    id: WorkId
    state: WorkState = "waiting"
    order: Order
    created_s: float = Field(description="Time of the order, in seconds since 1970.")
    title: str
    plan: Plan | None = None
    step: int = 0
    steps: int = 0
    progress: float = Field(default=0.0, description="Share of the work that is done, in [0, 1].")
    time_s: float = 0.0
    time_left_s: float | None = None
    losses: dict[str, float] = Field(
        default={}, description="Loss of each term, after the last step."
    )
    width_px: int | None = Field(default=None, description="Width of the current picture.")
    height_px: int | None = None
    has_picture: bool = Field(default=False, description="Whether its files can be downloaded.")
    message: str | None = Field(default=None, description="An error or a note.")
    changes: list[SteeringChange] = []
    replay: str | None = Field(default=None, description="The command that paints it again.")
    starred: bool = Field(default=False, description="Whether a visitor has marked it.")
    removed_s: float | None = Field(
        default=None, description="When it was put into the bin, in seconds since 1970."
    )

    @property
    def is_under_way(self) -> bool:
        """Whether it waits, is being painted, or is paused."""
        return self.state in UNDER_WAY

    @property
    def file_stem(self) -> str:
        """The name of its downloaded files, without the extension."""
        words = re.sub(r"[^A-Za-z0-9]+", "_", self.title).strip("_").lower()
        return f"{words[:60] or 'painting'}_{self.id[:6]}"


class Record(Work):
    """A work as it is stored, with private fields."""

    client: str = ""
    losses_so_far: list[tuple[int, float]] = []

    @property
    def longest_px(self) -> int:
        """The result's longest side; that of the current picture if the size is "original"."""
        size = self.order.settings.size
        if size == "original":
            return max(self.width_px or 0, self.height_px or 0)
        return max(size) if isinstance(size, tuple) else size

    def public(self) -> Work:
        """Return the work without the private fields."""
        return Work.model_validate(self.model_dump(exclude={"client", "losses_so_far"}))


def replay_command(stem: str, spec: JobSpec) -> str:
    """Return the command that paints a downloaded picture again, with the files' original names."""
    words = ["impasto", "replay", f"{stem}.png"]
    if spec.content is not None and spec.mode != "style":
        words += ["--content", spec.content.name]
    for style in spec.styles if spec.mode != "content" else ():
        words += ["--style", style.name]
    if spec.start is not None:
        words += ["--start", spec.start.name]
    for region in spec.regions:
        words += ["--region", ":".join(picture.name for picture in region.references())]
    return shlex.join([*words, "-o", f"{stem}_again.png"])
