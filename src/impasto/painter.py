"""``Painter``: the three modes with one network on one device, kept ready between calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from impasto.config.registry import NETWORKS
from impasto.config.settings import Mode, Settings, make_runtime, make_settings
from impasto.engine.checkpoint import Checkpoint, Keeper
from impasto.engine.painting import Painting
from impasto.engine.warm import WarmEngine
from impasto.errors import SettingsError, short_repr
from impasto.job.factory import make_job
from impasto.job.job import ImageSource, Job
from impasto.job.result import Result, Step
from impasto.output.jupyter import Live, in_notebook
from impasto.output.progress import Display, make_display

if TYPE_CHECKING:
    import os

    from torch import nn
    from typing_extensions import Unpack

    from impasto.config.values import NetworkName
    from impasto.job.options import JobOptions
    from impasto.models.module import ModuleSpec

# What a Painter is made with; a call cannot change it.
_FIXED = ("network", "device", "precision", "weights")


class Painter:
    """Paints with one network on one device, which stay loaded between calls.

    ``style_transfer``, ``content``, ``style`` and ``iterate`` are those of the package. They take
    their settings by call; network, weights file, device and number type are the Painter's.

    A Painter can be used from several threads: their paintings take turns, step by step. On one
    device that takes no longer than one after the other. A child of ``os.fork`` may use it too,
    and loads its own network. Other processes make Painters of their own.

    Args:
        network: a network by name, or a torch module whose named submodules are the layers, which
            calls name in ``content_layers`` and ``style_layers``; see
            :func:`impasto.models.module.module_spec`. It is copied; later changes do not count.
        device: as in Runtime, like all options that follow.
        precision: the number type inside the network.
        weights: the network's weights file.
        threads: by default, for each call.
        memory: by default, for each call.
        offline: by default, for each call.

    Raises:
        SettingsError: an option is unknown or out of its bounds.

    Example:
        >>> with impasto.Painter(device="cpu") as painter:  # doctest: +SKIP
        ...     for photograph in photographs:
        ...         painter.style_transfer(photograph, "painting.jpg", size=256)
    """

    def __init__(
        self,
        network: NetworkName | nn.Module = "vgg16",
        *,
        device: str = "auto",
        precision: str = "auto",
        weights: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        memory: int | str | None = None,
        offline: bool = False,
    ) -> None:
        self._runtime = make_runtime(
            device=device,
            precision=precision,
            weights=weights,
            threads=threads,
            memory=memory,
            offline=offline,
        )
        self._module: ModuleSpec | None = None
        if isinstance(network, str):
            self._network = make_settings(network=network).network
        else:
            self._register(network)
        self._engine: WarmEngine | None = WarmEngine()

    def _register(self, module: nn.Module) -> None:
        """Let the name of a module's own stand for it, while the Painter is open."""
        from impasto.models.module import module_spec

        if self._runtime.weights is not None:
            raise SettingsError(
                "weights: expected none beside a module, which has its own, got "
                f"{short_repr(self._runtime.weights)}; leave it out"
            )
        self._module = module_spec(module)
        self._network = cast("NetworkName", NETWORKS.lend(self._module.name, self._module))
        self._runtime = self._runtime.model_copy(update={"precision": "fp32"})

    def style_transfer(
        self,
        content_image: ImageSource,
        style_images: ImageSource | Iterable[ImageSource],
        *,
        settings: Settings | None = None,
        on_step: Callable[[Step], object] | None = None,
        checkpoint: str | Path | None = None,
        progress: bool = False,
        **options: Unpack[JobOptions],
    ) -> Result:
        """Repaint a photograph, as :func:`impasto.style_transfer` does.

        Raises:
            SettingsError: also if ``options`` name another network, device, number type or
                weights file than the Painter's.
            ValueError: the Painter is closed.
        """
        job = self.make_job(
            "style_transfer", content_image, style_images, settings=settings, **options
        )
        return paint(self._open, job, on_step, checkpoint, progress)

    def content(
        self,
        image: ImageSource,
        *,
        settings: Settings | None = None,
        on_step: Callable[[Step], object] | None = None,
        checkpoint: str | Path | None = None,
        progress: bool = False,
        **options: Unpack[JobOptions],
    ) -> Result:
        """Rebuild a picture, as :func:`impasto.content` does; raises as style_transfer."""
        job = self.make_job("content", image, settings=settings, **options)
        return paint(self._open, job, on_step, checkpoint, progress)

    def style(
        self,
        style_images: ImageSource | Iterable[ImageSource],
        *,
        settings: Settings | None = None,
        on_step: Callable[[Step], object] | None = None,
        checkpoint: str | Path | None = None,
        progress: bool = False,
        **options: Unpack[JobOptions],
    ) -> Result:
        """Paint a texture, as :func:`impasto.style` does; raises as style_transfer."""
        job = self.make_job("style", None, style_images, settings=settings, **options)
        return paint(self._open, job, on_step, checkpoint, progress)

    def iterate(
        self,
        content_image: ImageSource | Job,
        style_images: ImageSource | Iterable[ImageSource] | None = None,
        *,
        settings: Settings | None = None,
        resume: Checkpoint | None = None,
        **options: Unpack[JobOptions],
    ) -> Painting:
        """Paint step by step, as :func:`impasto.iterate` does; raises as style_transfer."""
        job = job_of(self.make_job, content_image, style_images, settings, dict(options))
        return self._open.iterate(self._checked(job), resume=resume)

    def make_job(
        self,
        mode: Mode,
        content_image: ImageSource | None = None,
        style_images: ImageSource | Iterable[ImageSource] = (),
        *,
        settings: Settings | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Put a Job for this Painter together, as :func:`impasto.make_job` does.

        Raises:
            SettingsError: as style_transfer does.
        """
        base = self._runtime.model_dump(exclude_defaults=True)
        if settings is None or "network" not in settings.model_fields_set:
            base["network"] = self._network
        named: Any = {**base, **options}
        return self._checked(
            make_job(mode, content_image, style_images, settings=settings, **named)
        )

    def close(self) -> None:
        """Release network and cache; later calls are refused. Paintings under way go on."""
        self._engine = None

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "" if self._engine else ", closed"
        return f"<Painter with {self._network} on {self._runtime.device}{state}>"

    @property
    def _open(self) -> WarmEngine:
        if self._engine is None:
            raise ValueError("this Painter is closed: expected an open one; make another")
        return self._engine

    def _checked(self, job: Job) -> Job:
        """Return the job, if it is for this Painter's network and device."""
        ours: dict[str, Any] = {"network": self._network, **dict(self._runtime)}
        theirs: dict[str, Any] = {"network": job.settings.network, **dict(job.runtime)}
        for name in _FIXED:
            if theirs[name] != ours[name]:
                raise SettingsError(
                    f"{name}: expected {ours[name]!r}, which this Painter was made with, got "
                    f"{short_repr(theirs[name])}; leave it out, or make another Painter for it"
                )
        if self._module is not None:
            usual = Settings.model_fields
            for name in ("pooling", "padding", "seamless"):
                value = getattr(job.settings, name)
                if value != usual[name].default:
                    raise SettingsError(
                        f"{name}: expected it only with impasto's own networks, got "
                        f"{short_repr(value)} with the module {self._network}; leave it out"
                    )
        return job


def paint(
    engine: WarmEngine,
    job: Job,
    on_step: Callable[[Step], object] | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Result:
    """Paint a job to its end, for the public functions.

    Args:
        engine: what is kept from earlier jobs.
        job: what to paint.
        on_step: called with each Step; if it returns False, painting ends there.
        checkpoint: a file to keep the state in until the picture is finished.
        progress: whether a bar is shown.
    """
    keeper = None if checkpoint is None else Keeper(Path(checkpoint))
    with _display(progress) as display:

        def show(step: Step) -> object:
            display.step(step)
            return None if on_step is None else on_step(step)

        result = engine.paint(
            job,
            show,
            progress=display.progress,
            resume=None if keeper is None else keeper.load(),
            keeper=keeper,
        )
    is_finished = result.recipe is None or result.recipe.decisions.stopped_after is None
    if keeper is not None and is_finished:
        keeper.remove()
    return result


def _display(progress: bool) -> Display:
    if not progress:
        return Display()
    return Live() if in_notebook() else make_display()


def job_of(
    make: Callable[..., Job],
    content_image: Any,
    style_images: Any,
    settings: Settings | None,
    options: dict[str, Any],
) -> Job:
    """Return the Job that ``iterate`` was called with, or make one of style_transfer mode.

    Raises:
        SettingsError: a Job with other arguments beside it, or an invalid option.
    """
    if not isinstance(content_image, Job):
        styles = () if style_images is None else style_images
        return make("style_transfer", content_image, styles, settings=settings, **options)
    names = [*options, *(["settings"] if settings else [])]
    if style_images is not None:
        names.insert(0, "style_images")
    if names:
        raise SettingsError(
            f"{names[0]}: expected a Job alone, which has its own pictures and options, got "
            f"{names[0]} beside it; leave it out, or put it into the Job"
        )
    return content_image
