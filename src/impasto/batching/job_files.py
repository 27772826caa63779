"""Files of jobs, and folders of pictures, as entries: each job's words, and where they stand."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.errors import SettingsError

PICTURE_ENDINGS = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Entry:
    """A job in the user's words.

    Attributes:
        place: where it stands, for messages.
        words: options by name, with ``mode``, ``content``, ``style`` and ``output``.
        folder: what its paths are relative to.
        named_by: tells it from others in the name of its picture, if ``output`` is absent.
    """

    place: str
    words: dict[str, Any]
    folder: Path
    named_by: str = ""


def read_file(path: Path) -> list[Entry]:
    """Read a file of jobs: .jsonl (a line each), .csv (a row each) or .yaml (a list).

    Absent, empty and null values leave an option as it is. Paths are relative to the file. In CSV,
    several style pictures stand in one cell, separated by semicolons.

    Raises:
        SettingsError: no such file, of another kind, or a line that cannot be read.
    """
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".yaml": _read_yaml, ".yml": _read_yaml}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SettingsError(
            f"{str(path)!r} is no file of jobs: expected a name that ends in "
            f"{', '.join(readers)}, got {path.suffix!r}; or give folders with --content and --style"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(
            f"{str(path)!r} cannot be read ({reason}): expected a text file of jobs; check its path"
        ) from None
    entries = []
    for line, words in reader(text, path.name):
        place = f"{path.name} line {line}"
        if not isinstance(words, dict):
            raise SettingsError(f"{place}: expected options by name, got {_short(words)}")
        given = {
            str(name).replace("-", "_"): value
            for name, value in words.items()
            if value is not None and value != ""
        }
        entries.append(Entry(place, given, path.resolve().parent))
    if not entries:
        raise SettingsError(f"{str(path)!r} has no jobs: expected at least one; add a line")
    return entries


def pair(
    contents: Sequence[Path], styles: Sequence[Path], variations: Sequence[dict[str, Any]]
) -> list[Entry]:
    """Pair every content picture with every style picture, in every variation.

    Args:
        contents: pictures, or folders of pictures; empty for a mode without.
        styles: likewise.
        variations: options of each; from :func:`vary`.

    Raises:
        SettingsError: a folder that is absent or without pictures.
    """
    content_names = _names([picture for path in contents for picture in _pictures(path)])
    style_names = _names([picture for path in styles for picture in _pictures(path)])
    entries = []
    for content, style in itertools.product(content_names or [None], style_names or [None]):
        for variation in variations:
            shown = [f"{name}={_shown(value)}" for name, value in variation.items()]
            names = [
                *([content_names[content]] if content else []),
                *([style_names[style]] if style else []),
                *shown,
            ]
            pictures = {"content": content, "style": style}
            given = {kind: str(path) for kind, path in pictures.items() if path}
            entries.append(
                Entry(" ".join(names), {**given, **variation}, Path.cwd(), "_".join(names))
            )
    return entries


def _read_jsonl(text: str, name: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line, object_pairs_hook=_each_once)
            except (ValueError, RecursionError) as error:
                raise SettingsError(
                    f"{name} line {number}: expected a JSON object, got {_short(line)} ({error})"
                ) from None


def _read_csv(text: str, name: str) -> Iterator[tuple[int, Any]]:
    rows = csv.reader(io.StringIO(text), strict=True)
    heading: list[str] = []
    began = 1
    try:
        for row in rows:
            line, began = began, rows.line_num + 1
            if not heading:
                heading = [word.strip() for word in row]
                if len(set(heading)) < len(heading):
                    raise SettingsError(
                        f"{name} line {line}: expected each heading once, got {_short(heading)}"
                    )
            elif any(cell.strip() for cell in row):
                if len(row) != len(heading):
                    raise SettingsError(
                        f"{name} line {line}: expected {len(heading)} cells, as in the heading, "
                        f"got {len(row)}"
                    )
                words: dict[str, Any] = {
                    name: cell.strip() for name, cell in zip(heading, row, strict=True)
                }
                if ";" in words.get("style", ""):
                    words["style"] = [style.strip() for style in words["style"].split(";")]
                yield line, words
    except csv.Error as error:
        raise SettingsError(f"{name} line {began}: expected CSV, got {error}") from None


def _read_yaml(text: str, name: str) -> Iterator[tuple[int, Any]]:
    import yaml

    # Every scalar stays a word, as on the command line: YAML would take 16:9 for 969.
    loader = yaml.BaseLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return
        if not isinstance(root, yaml.SequenceNode):
            raise SettingsError(f"{name} line 1: expected a list of jobs, each after a hyphen")
        for node in root.value:
            line = node.start_mark.line + 1
            keys = [key.value for key, _ in node.value] if node.id == "mapping" else []
            _check_once(keys, f"{name} line {line}")
            yield line, loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        reason = getattr(error, "problem", None) or error
        raise SettingsError(f"{name} line {line}: expected YAML, got {reason}") from None
    finally:
        loader.dispose()


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _check_once(names: list[Any], place: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"{place}: expected each option once, got {_short(twice)} twice")


def _pictures(path: Path) -> list[Path]:
    """List the pictures in a folder, by name; a file is itself."""
    if not path.is_dir():
        return [path]
    found = sorted(
        entry
        for entry in path.iterdir()
        if entry.suffix.lower() in PICTURE_ENDINGS
        and not entry.name.startswith(".")
        and entry.is_file()
    )
    if not found:
        raise SettingsError(
            f"{str(path)!r} has no pictures: expected files that end in "
            f"{', '.join(PICTURE_ENDINGS)}; give another folder"
        )
    return found


def _names(pictures: Sequence[Path]) -> dict[Path, str]:
    """Name each picture by its file's name, with the ending where that alone tells it apart."""
    stems = [picture.stem for picture in pictures]
    return {
        picture: picture.stem if stems.count(picture.stem) == 1 else picture.name.replace(".", "-")
        for picture in pictures
    }


def _shown(value: str) -> str:
    """Make a value fit for a file's name."""
    return re.sub(r"[^\w.=,+-]", "-", value)


def _short(value: Any) -> str:
    text = repr(value)
    return f"{text[:80]}..." if len(text) > 80 else text
