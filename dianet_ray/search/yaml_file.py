"""YAML whose every part knows the line where it stands, so that an error can name it.

`space_file.py` reads search spaces and lists of points with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dianet_ray.errors import InputError, one_line


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a YAML file, and the line where it stands: its key's, or its own in a list."""

    path: Path
    line: int
    node: yaml.Node | None
    content: Any

    @property
    def where(self) -> str:
        """Write path:line, as every error begins."""
        return f"{self.path}:{self.line}"

    def refuse(self, rule: str) -> InputError:
        """Make the error to raise about this part."""
        return InputError(f"{self.where}: {rule}")

    def child(self, key: Any) -> Part:
        """Return the value of a mapping's key; None, on this line, when it has none."""
        pairs = self.node.value if isinstance(self.node, yaml.MappingNode) else []
        for name, value in reversed(pairs):  # of equal keys the last one counts
            if name.value == str(key):
                return Part(self.path, name.start_mark.line + 1, value, self.content.get(key))
        return Part(self.path, self.line, None, self.content.get(key))

    def items(self, rule: str = "") -> list[tuple[Any, Part]]:
        """List a mapping's keys and values; none when it is left out."""
        if self.content is not None and not isinstance(self.content, dict):
            raise self.refuse(f"{rule}, got {self.content!r}")
        return [(key, self.child(key)) for key in self.content or {}]

    def elements(self, rule: str) -> list[Part]:
        """List a list's elements; none when it is left out."""
        if self.content is None:
            return []
        if not isinstance(self.content, list) or self.node is None:
            raise self.refuse(f"{rule}, got {self.content!r}")
        return [
            Part(self.path, node.start_mark.line + 1, node, content)
            for node, content in zip(self.node.value, self.content, strict=True)
        ]


def read_yaml(path: Path) -> Part:
    """Read a file.

    Raises:
        InputError: it cannot be read, or is not YAML, with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {one_line(error)}") from None
    node, content = load_yaml(text, str(path))
    return Part(path, node.start_mark.line + 1 if node is not None else 1, node, content)


def load_yaml(text: str, label: str) -> tuple[yaml.Node | None, Any]:
    """Parse a text to its node, which knows its lines, and its content.

    Raises:
        InputError: not YAML, as label:line.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a 13th month
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0))
        problem = getattr(error, "problem", None) or one_line(error)
        raise InputError(f"{label}:{line + 1}: not YAML: {problem}") from None
