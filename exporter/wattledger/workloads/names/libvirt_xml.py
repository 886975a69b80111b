"""What a libvirt domain's XML says about who it is (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from .base import ResolverError

DEPTH_LIMIT = 64
_TEXT_LIMIT = 4096
_NOVA = "http://openstack.org/xmlns/libvirt/nova/"
_FIELDS: dict[tuple[str, ...], str] = {
    ("domain", "name"): "name",
    ("domain", "uuid"): "uuid",
    ("domain", "title"): "title",
    ("domain", "metadata", "nova instance", "nova name"): "display_name",
    ("domain", "metadata", "nova instance", "nova owner", "nova project"): "project",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain's names; `number` is its id while it runs, "" in a file that only defines it.

    `display_name` and `project` are what OpenStack calls it and whose it is.
    """

    name: str = ""
    number: str = ""
    uuid: str = ""
    title: str = ""
    display_name: str = ""
    project: str = ""


def read_domain(data: bytes) -> Domain:
    """Read a domain's definition (`<domain>`) or its running state (`<domstatus>`).

    The parser is expat itself, with document types refused: without one there are no entities to expand or
    to fetch. Only a few texts are kept, 4,096 characters of each.
    Raises ResolverError("parse") for what is not well-formed, has a document type, is no domain or is nested
    more than 64 deep.
    """
    from xml.parsers import expat  # noqa: PLC0415 - for hosts with virtual machines

    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ResolverError("parse", f"not XML: {error}") from None
    if not reader.is_domain:
        raise ResolverError("parse", "not a libvirt domain")
    return Domain(**{key: value.strip() for key, value in reader.found.items()})


class _Reader:
    """Collects the few fields on the way through the document."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.is_domain = False
        self._path: list[str] = []
        self._field: str | None = None

    def doctype(self, *_: object) -> None:
        raise ResolverError("parse", "a document type is not accepted")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= DEPTH_LIMIT:
            raise ResolverError("parse", f"nested more than {DEPTH_LIMIT} deep")
        self._path.append(_short(tag))
        path = tuple(self._path[1:] if self._path[0] == "domstatus" else self._path)
        if path == ("domain",) and not self.is_domain:
            self.is_domain = True
            self.found["number"] = attributes.get("id", "")
        field = _FIELDS.get(path)
        self._field = field if field not in self.found else None

    def end(self, _: str) -> None:
        self._path.pop()
        self._field = None

    def text(self, text: str) -> None:
        if self._field is not None:
            before = self.found.get(self._field, "")
            self.found[self._field] = (before + text)[:_TEXT_LIMIT]


def _short(tag: str) -> str:
    """The tag with OpenStack's namespace, of whatever version, as `nova`."""
    namespace, _, name = tag.rpartition(" ")
    return f"nova {name}" if namespace.startswith(_NOVA) else tag
