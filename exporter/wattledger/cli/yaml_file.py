"""Reads a settings file in YAML into one text per key, with the line where it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from ..errors import SettingsError
from .option import Option
from .structure import Given, Structure
from .structured_part import Part, shown_key

_LARGEST_FILE_BYTES = 1 << 20


def read_file(path: str, options: Mapping[str, Option], refused: Mapping[str, str]) -> dict[str, Given]:
    """The settings in the YAML file at `path` by key.

    `options` are the keys there are, `refused` says of other keys why there are none such.
    A key without a value counts as not given.
    Raises SettingsError naming the file, the line and the key path for whatever cannot be used.
    """
    document = _compose(path)
    if document is None or Part(path, "", document).is_null:
        return {}
    if not isinstance(document, MappingNode):
        raise SettingsError(
            f"{path}: the file is not a mapping of settings; write keys such as `sampling: {{interval: 5s}}`"
        )
    return dict(_walk(path, document, "", options, refused))


def _compose(path: str) -> Node | None:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot read the settings file: {error.strerror}; give a readable file to --config.file"
        ) from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise SettingsError(f"{path}: larger than 1 MiB, so surely not a settings file")
    try:
        document: Node | None = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        where = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{path}{where}: not valid YAML: {_problem(error)}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise SettingsError(f"{path}: not valid YAML: {_one_line(str(error))}") from error
    except RecursionError:
        raise SettingsError(f"{path}: not valid YAML: nested too deeply") from None
    return document


def _problem(error: yaml.MarkedYAMLError) -> str:
    is_alias = "alias" in f"{error.context} {error.problem}"
    return _one_line(error.problem) + ("; put quotes around a text that begins with *" if is_alias else "")


def _walk(
    path: str,
    mapping: MappingNode,
    prefix: str,
    options: Mapping[str, Option],
    refused: Mapping[str, str],
) -> Iterator[tuple[str, Given]]:
    """The leaves under `mapping`, whose own key path with a final dot is `prefix`."""
    seen: set[str] = set()
    for key_node, node in mapping.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, ScalarNode):
            raise SettingsError(f"{where}: {prefix or 'the file'}: a key must be plain text")
        key = prefix + key_node.value
        shown = prefix + shown_key(key_node.value)
        if "." in key_node.value:
            nested = ": {".join(shown_key(key_node.value).split(".")) + ": ..."
            nested += "}" * shown_key(key_node.value).count(".")
            raise SettingsError(f"{where}: {shown}: a key has no dots; write `{nested}`")
        if key in seen:
            raise SettingsError(f"{where}: {shown}: given twice; keep one of them")
        seen.add(key)
        part = Part(path, key, node)
        if key in options:
            if not part.is_null:
                yield key, _given(part, options[key])
        elif any(known.startswith(key + ".") for known in options):
            if isinstance(node, MappingNode):
                yield from _walk(path, node, key + ".", options, refused)
            elif not part.is_null:
                below = ", ".join(_children(key + ".", options))
                raise SettingsError(f"{part.origin}: needs settings below it, namely {below}")
        elif key in refused:
            raise SettingsError(f"{where}: {key}: {refused[key]}")
        else:
            raise SettingsError(f"{where}: {shown}: unknown key; {_suggestion(key, prefix, options)}")


def _given(part: Part, option: Option) -> Given:
    if isinstance(option.kind, Structure):
        return Given("", part.origin, part)
    return Given(part.text(option.kind), part.origin)


def _suggestion(key: str, prefix: str, options: Mapping[str, Option]) -> str:
    """The nearest valid key, be it a sibling or one with such a last word elsewhere, and all siblings."""
    siblings = _children(prefix, options)
    word = key.removeprefix(prefix)[:64]
    by_word = {known.rpartition(".")[2]: known for known in reversed(list(options))}
    by_word |= {sibling: prefix + sibling for sibling in siblings}
    nearest = difflib.get_close_matches(word, by_word, n=1, cutoff=0.7)
    nearest = nearest or difflib.get_close_matches(word, siblings, n=1, cutoff=0.0)
    place = f"under {prefix.rstrip('.')}" if prefix else "at the top"
    return f"the nearest valid key is {by_word[nearest[0]]}; accepted {place}: {', '.join(siblings)}"


def _children(prefix: str, options: Mapping[str, Option]) -> list[str]:
    """The words that may follow `prefix`, in the order of the table."""
    words = (known.removeprefix(prefix).split(".")[0] for known in options if known.startswith(prefix))
    return list(dict.fromkeys(words))


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
