"""YAML that remembers its lines, so that an error can name the line it stands on.

`space_file.py` reads search spaces, lists of settings and the values of `--set` with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dianet_ray.errors import InputError, one_line


@dataclass(frozen=True, slots=True)
class YamlText:
    """A parsed YAML text: plain values in `content`, the same with line numbers in `node`."""

    label: str
    node: yaml.Node | None
    content: Any

    def where(self, *keys: int | str) -> str:
        """Write label:line of the value that the keys and list places lead to.

        A key that the text does not have is passed over: pydantic puts names of its own between
        the keys, and a missing key is best shown at the mapping that lacks it.
        """
        node = self.node
        line = node.start_mark.line if node is not None else 0
        for key in keys:
            if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
                node = node.value[key]
                line = node.start_mark.line
            elif isinstance(node, yaml.MappingNode):
                # Of equal keys PyYAML keeps the last one, so a later pair replaces an earlier.
                pairs = {name.value: (name, value) for name, value in node.value}
                if str(key) in pairs:
                    name, node = pairs[str(key)]
                    line = name.start_mark.line
        return f"{self.label}:{line + 1}"


def read_yaml(path: Path) -> YamlText:
    """Read a file.

    Raises:
        InputError: it cannot be read, or it is not YAML; names the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {one_line(error)}") from None
    return parse_yaml(text, str(path))


def _check_unique(root: yaml.Node | None, label: str) -> None:
    """Refuse a mapping that names a key twice, of which YAML would keep the last.

    Raises:
        InputError: names label:line and the key.
    """
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias: it may be there very often, or within itself
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += (value for _, value in node.value)
            # `<<` merges another mapping, and may come again.
            names = [name for name, _ in node.value if name.value != "<<"]
            known = set()
            for name in names:
                if isinstance(name, yaml.ScalarNode) and name.value in known:
                    line = name.start_mark.line + 1
                    raise InputError(f"{label}:{line}: {name.value} is there twice")
                known.add(str(name.value))


def parse_yaml(text: str, label: str) -> YamlText:
    """Parse a text with PyYAML's safe loader.

    Raises:
        InputError: not YAML; names label:line.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_unique(node, label)
        content = None if node is None else loader.construct_document(node)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a 13th month
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0))
        problem = getattr(error, "problem", None) or one_line(error)
        raise InputError(f"{label}:{line + 1}: not YAML: {problem}") from None
    return YamlText(label, node, content)
