"""Read job files and folders of pictures into entries: the options of each job, and a label."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from impasto import files
from impasto.errors import SettingsError, one_line, short_repr

_MOST_NAMED = 5
_ENDINGS = (
    *(".avif", ".bmp", ".gif", ".j2k", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
    *(".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
# These need the extra ``heic``.
_HEIC_ENDINGS = (".heic", ".heif")


@dataclass(frozen=True)
class Entry:
    """The options of one job, not yet checked.

    Attributes:
        label: the file and line that the job comes from, for messages.
        words: options by name, with ``mode``, ``content``, ``style`` and ``output``.
        folder: relative paths start here.
        named_by: the name of its picture if there is no ``output``.
    """

    label: str
    words: dict[str, Any]
    folder: Path
    named_by: str = ""


def read_file(path: Path) -> list[Entry]:
    """Read a job file: .jsonl (one job a line), .csv (one job a row) or .yaml (a list).

    An empty or null value leaves the option at its default. Paths are relative to the file. In CSV,
    several style pictures are in one cell, separated by semicolons.

    Raises:
        SettingsError: the file is absent or of another kind, or a line cannot be read.
    """
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".yaml": _read_yaml, ".yml": _read_yaml}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SettingsError(
            f"{str(path)!r} is no job file: expected a name that ends in "
            f"{', '.join(readers)}, got {path.suffix!r}; or name folders with --content and --style"
        )
    text = _read_text(path)
    entries = []
    for line, words in reader(text, path.name):
        label = f"{path.name} line {line}"
        entries.append(Entry(label, _options(words, label), path.resolve().parent))
    if not entries:
        raise SettingsError(f"{str(path)!r} has no jobs: expected at least one; add a line")
    return entries


def pair(
    contents: Sequence[Path], styles: Sequence[Path], variations: Sequence[dict[str, Any]]
) -> list[Entry]:
    """Pair every content picture with every style picture, in every variation.

    Args:
        contents: pictures, or folders of pictures; empty for a mode without content.
        styles: the same for styles.
        variations: options by name, one mapping for each variation; from :func:`vary`.

    Raises:
        SettingsError: a folder is absent or has no pictures.
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
            paths = {kind: str(path) for kind, path in pictures.items() if path}
            entries.append(
                Entry(" ".join(names), {**paths, **variation}, Path.cwd(), "_".join(names))
            )
    return entries


def _read_text(path: Path) -> str:
    try:
        text = files.read_regular(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(
            f"{one_line(repr(str(path)))} cannot be read ({reason}): expected a text file of jobs; "
            "check its path"
        ) from None
    # Lines may end as on Windows or on old Macs.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _options(words: Any, label: str) -> dict[str, Any]:
    """Return the options of a job that have a value, by the names of their fields."""
    if not isinstance(words, dict):
        raise SettingsError(f"{label}: expected options by name, got {short_repr(words)}")
    for name, value in words.items():
        if not _is_flat(value):
            raise SettingsError(
                f"{label}: {one_line(name)}: expected a value, or a list of values, got "
                f"{short_repr(value)}"
            )
    return {
        str(name).replace("-", "_"): value
        for name, value in words.items()
        if value is not None and value != ""
    }


def _is_flat(value: Any) -> bool:
    """Return whether a value is a scalar, or a list or mapping of scalars."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not any(isinstance(part, (list, dict)) for part in parts)


def _read_jsonl(text: str, name: str) -> Iterator[tuple[int, Any]]:
    # Not splitlines(): a JSON string may contain U+2028, U+2029 and U+0085 unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line, object_pairs_hook=_each_once)
            except (ValueError, RecursionError) as error:
                raise SettingsError(
                    f"{name} line {number}: expected a JSON object, got {short_repr(line)} "
                    f"({one_line(error)})"
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
                _check_heading(heading, f"{name} line {line}")
            elif any(cell.strip() for cell in row):
                if len(row) != len(heading):
                    raise SettingsError(
                        f"{name} line {line}: expected {len(heading)} cells, as in the heading, "
                        f"got {len(row)}"
                    )
                words: dict[str, Any] = {
                    option: cell.strip() for option, cell in zip(heading, row, strict=True)
                }
                if ";" in words.get("style", ""):
                    words["style"] = [style.strip() for style in words["style"].split(";")]
                yield line, words
    except csv.Error as error:
        raise SettingsError(f"{name} line {began}: expected CSV, got {error}") from None


def _check_heading(heading: list[str], label: str) -> None:
    _check_once(heading, label, "heading")
    separator = next((mark for mark in ";\t|" if len(heading) == 1 and mark in heading[0]), None)
    if separator is not None:
        raise SettingsError(
            f"{label}: expected headings that are separated by commas, got "
            f"{short_repr(heading[0])}; separate by commas, not by {separator!r}: save "
            "the table as CSV with commas"
        )


def _read_yaml(text: str, name: str) -> Iterator[tuple[int, Any]]:
    import yaml

    loader = None
    try:
        # Every scalar stays a string, as on the command line: YAML would read 16:9 as 969.
        loader = yaml.BaseLoader(text)
        root = loader.get_single_node()
        if root is None:
            return
        if not isinstance(root, yaml.SequenceNode):
            raise SettingsError(f"{name} line 1: expected a list of jobs, each after a hyphen")
        for node in root.value:
            line = node.start_mark.line + 1
            keys = [str(key.value) for key, _ in node.value] if node.id == "mapping" else []
            _check_once(keys, f"{name} line {line}")
            yield line, loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(
            f"{name} line {line}: expected YAML, got the character {chr(error.character)!r}, which "
            "is not allowed in it; remove it, or write it as an escape in double quotes"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        reason = getattr(error, "problem", None) or error
        raise SettingsError(f"{name} line {line}: expected YAML, got {one_line(reason)}") from None
    except RecursionError:
        raise SettingsError(
            f"{name}: expected a list of jobs with options by name, got lists in lists, too deep "
            "to be read"
        ) from None
    finally:
        if loader is not None:
            loader.dispose()


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    by_name = dict(pairs)
    if len(by_name) < len(pairs):
        raise ValueError("a name appears twice")
    return by_name


def _check_once(names: list[str], label: str, noun: str = "option") -> None:
    name, count = Counter(names).most_common(1)[0] if names else ("", 1)
    if count > 1:
        raise SettingsError(f"{label}: expected each {noun} once, got {short_repr(name)} twice")


def skipped_files(folder: Path) -> str | None:
    """Return a message that names the files in ``folder`` that are not read, or None.

    Hidden files are not named.
    """
    if not folder.is_dir():
        return None
    others = [
        f"{entry.name}/" if entry.is_dir() else entry.name
        for entry in _entries_of(folder)
        if not _is_picture(entry)
    ]
    if not others:
        return None
    names = ", ".join(one_line(name, 60) for name in others[:_MOST_NAMED])
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    return (
        f"{one_line(repr(str(folder)))}: not read: {names}{more}; pictures end in "
        f"{', '.join(_picture_endings())}, and subfolders must be named themselves"
    )


def _pictures(path: Path) -> list[Path]:
    """Return the pictures in a folder, sorted by name; for a file, the file itself."""
    if not path.is_dir():
        return [path]
    pictures = [entry for entry in _entries_of(path) if _is_picture(entry)]
    if not pictures:
        others = skipped_files(path)
        more = f" ({others})" if others else ""
        raise SettingsError(
            f"{one_line(repr(str(path)))} has no pictures: expected files that end in "
            f"{', '.join(_picture_endings())}; name another folder{more}"
        )
    return pictures


def _entries_of(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise SettingsError(
            f"{one_line(repr(str(folder)))} cannot be listed ({error.strerror}): expected a folder "
            "of pictures; check its permissions"
        ) from None


def _picture_endings() -> tuple[str, ...]:
    """Return the file name extensions of pictures that can be read here."""
    return _ENDINGS if find_spec("pillow_heif") is None else (*_ENDINGS, *_HEIC_ENDINGS)


def _is_picture(entry: Path) -> bool:
    return entry.suffix.lower() in _picture_endings() and entry.is_file()


def _names(pictures: Sequence[Path]) -> dict[Path, str]:
    """Name each picture by its stem; with the extension if two pictures have the same stem."""
    stems = [picture.stem for picture in pictures]
    return {
        picture: picture.stem if stems.count(picture.stem) == 1 else picture.name.replace(".", "-")
        for picture in pictures
    }


def _shown(value: str) -> str:
    """Replace the characters of a value that should not be in a file's name."""
    return re.sub(r"[^\w.=,+-]", "-", value)
