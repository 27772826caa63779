"""``impasto studio``: serve the studio."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import Field, field_validator

from impasto import files
from impasto.cli import interrupts
from impasto.cli.options import with_options
from impasto.config.settings import Runtime
from impasto.config.validation import Options, check
from impasto.config.values import parse_bytes
from impasto.errors import MissingPackageError, OutputError, SettingsError
from impasto.output.options import quiet_field

if TYPE_CHECKING:
    from fastapi import FastAPI

    from impasto.studio.security import Rules

# Options of the studio that also apply to --compare.
_WITHOUT_PAINTING = {"host", "port", "public_url", "proxies", "compare", "compare_seed", "quiet"}
_TOKEN_VARIABLE = "IMPASTO_STUDIO_TOKEN"  # noqa: S105 - its name, not its value


class Serving(Options):
    """Options of the studio's server."""

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; 0.0.0.0 means all addresses of this machine. Visitors "
        "need the token in the printed address.",
    )
    port: int = Field(
        default=8500, ge=0, le=65535, description="Port to listen on; 0 means any free port."
    )
    folder: Path | None = Field(
        default=None,
        description="Folder for pictures and works; by default in impasto's cache folder.",
    )
    painters: tuple[str, ...] | None = Field(
        default=None,
        description="Devices, each with its own painter process, such as cuda:0,cuda:1; by default "
        "--device.",
    )
    queue_limit: int = Field(
        default=100, ge=1, le=10_000, description="Maximum number of paintings that wait."
    )
    upload_quota: int = Field(
        default=8 * 2**30,
        ge=1,
        description="Maximum size of all uploaded pictures, such as 500MB; by default 8GiB.",
        json_schema_extra={"metavar": "SIZE"},
    )
    confirm_hours: float = Field(
        default=2.0,
        ge=0,
        description="Paintings that are expected to take longer must be confirmed.",
    )
    public_url: str | None = Field(
        default=None,
        description="The studio's address behind a reverse proxy, such as "
        "https://example.org/studio.",
    )
    proxies: tuple[str, ...] = Field(
        default=("127.0.0.1", "::1"),
        description="With --public-url: the proxy's own addresses. Forwarded headers from other "
        "addresses are ignored.",
    )
    quiet: bool = quiet_field()
    compare: Path | None = Field(
        default=None,
        description="Compare pictures blindly instead of painting. The folder has a subfolder for "
        "each method; the choices are saved in its choices.json.",
    )
    compare_seed: int = Field(
        default=0,
        description="With --compare: seed for the order of the pictures and for their sides.",
    )

    @field_validator("upload_quota", mode="before")
    @classmethod
    def _size_as_bytes(cls, size: object) -> int:
        return parse_bytes(size)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""

    @app.command("studio")
    @with_options({"The studio": Serving, "Where and how": Runtime})
    def studio(**options: Any) -> None:
        """Paint in the browser, watch it happen, and steer it; or compare finished pictures."""
        own = {name: options.pop(name) for name in Serving.model_fields if name in options}
        serve(check(Serving, own), options)


def serve(serving: Serving, runtime: dict[str, Any]) -> None:
    """Serve the studio until it is interrupted.

    Args:
        serving: options of the server.
        runtime: fields of Runtime for the worker processes.

    Raises:
        MissingPackageError: the extra ``studio`` is not installed.
        OutputError: the folder or the port cannot be used.
        SettingsError: an option of Runtime, the public URL or the folder to compare is invalid.
    """
    try:
        import segno  # noqa: F401 - used later; checked here
        import uvicorn

        from impasto.studio import address, connections, security

        build = _studio if serving.compare is None else _comparison
        make_app, close = build(serving, runtime)
    except ImportError as error:
        raise MissingPackageError(
            f"the studio needs a package that is not installed ({error.name}): install it with "
            "pip install '.[studio]' in impasto's own folder"
        ) from None
    public = None if serving.public_url is None else address.parse_public_url(serving.public_url)
    listening = _listen(serving)
    port = listening.getsockname()[1]
    token = os.environ.get(_TOKEN_VARIABLE) or secrets.token_urlsafe(24)
    # Other users of this machine must not read the files; worker processes inherit this.
    os.umask(0o077)
    rules = security.Rules(serving.host, port, token, public, serving.proxies if public else ())
    app = make_app(rules)
    connections.PatientProtocol.most_connections = connections.raise_file_limit()

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            close(app)
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
        http=connections.PatientProtocol,
        lifespan="on",
    )
    interrupts.raise_stops()
    typer.echo(rules.opened)
    if not serving.quiet:
        typer.echo("The studio is open at this address; Ctrl-C closes it.", err=True)
    sys.stdout.flush()
    if not serving.quiet and rules.is_for_others:
        address.draw_qr_code(rules.opened)
    Server(config).run(sockets=[listening])


def _studio(
    serving: Serving, runtime: dict[str, Any]
) -> tuple[Callable[[Rules], FastAPI], Callable[[FastAPI], None]]:
    """Return functions that make the painting application and close its event streams."""
    from impasto.studio import routes
    from impasto.studio.service import Limits, StudioService
    from impasto.studio.storage import Store

    if "compare_seed" in serving.model_fields_set:
        raise SettingsError(
            "--compare-seed: expected --compare FOLDER beside it; add that, or leave this out"
        )
    chosen = check(Runtime, runtime).model_dump(exclude_unset=True)
    runtimes = [
        check(Runtime, {**chosen, "device": device}).model_dump(exclude_unset=True)
        for device in serving.painters or (chosen.get("device", "auto"),)
    ]
    limits = Limits(serving.queue_limit, serving.upload_quota, 3600 * serving.confirm_hours)

    def make(rules: Rules) -> FastAPI:
        store = Store(serving.folder or files.cache_folder() / "studio")
        return routes.make_app(lambda: StudioService(store, runtimes, limits), rules)

    return make, lambda app: app.state.service.events.close()


def _comparison(
    serving: Serving, runtime: dict[str, Any]
) -> tuple[Callable[[Rules], FastAPI], Callable[[FastAPI], None]]:
    """Return functions that make the comparing application and close it (nothing to close)."""
    from impasto.studio import compare
    from impasto.studio.comparison import Comparison

    painting = [*sorted(serving.model_fields_set - _WITHOUT_PAINTING), *runtime]
    if painting:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in painting)
        raise SettingsError(
            f"--compare: expected no painting options beside it, got {flags}; leave them out"
        )
    comparison = Comparison(files.path_of(str(serving.compare)), serving.compare_seed)
    for one in comparison.left_out:
        typer.echo(f"not compared: {one.file}: {one.reason}", err=True)
    return lambda rules: compare.make_app(comparison, rules), lambda app: None


def _listen(serving: Serving) -> socket.socket:
    """Open the port, before anything slow."""
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    try:
        return socket.create_server((serving.host, serving.port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"cannot listen on {serving.host}:{serving.port} ({reason}): "
            "expected a free port of this machine; choose another --port or --host"
        ) from None
