"""The keys of a launch that is attached: `prod: {attach: https://host/v1, api_key_env: PROD_KEY, model: NAME}`."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from benchbook.plan.document import Document, Where
from benchbook.plan.strict import StrictModel
from benchbook.terms.attached import Attached, Reach
from benchbook.terms.errors import ExperimentError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_EXAMPLE = "{attach: https://llm.example/v1, api_key_env: PROD_KEY, model: NAME}"
_OF_THE_CLIENT = ("authorization", "content-type", "content-length", "host", "connection", "transfer-encoding")
_NO_VARIABLE = "is not the name of an environment variable, which is to hold the value"
_STARTED = "is for a server that is started here: the one at `attach` runs as it was started"
Text = Annotated[str, Field(min_length=1, max_length=4096)]


class _ReachKeys(StrictModel):
    """How a server is reached, by hand a mapping of these keys."""

    api_key_env: str = Field("", examples=["api_key_env: PROD_KEY"])
    headers_env: dict[str, str] = Field({}, examples=["headers_env: {X-Team: TEAM_HEADER}"])
    ca_file: str = Field("", examples=["ca_file: certificates/own-ca.pem"])
    insecure: bool = False
    proxy: bool = False
    behind: list[Text] = Field([], examples=["behind: [http://10.0.0.1:8000, http://10.0.0.2:8000]"])

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, name: str) -> str:
        if name and not _VARIABLE.fullmatch(name):
            raise ValueError(_NO_VARIABLE)
        return name

    @field_validator("headers_env")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for header, name in headers.items():
            if not _HEADER.fullmatch(header) or header.lower() in _OF_THE_CLIENT:
                raise ValueError(f"{header!r} is no header that can be added; a key goes into api_key_env")
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{header} {_NO_VARIABLE}")
        return headers

    @model_validator(mode="after")
    def _trusts_in_one_way(self) -> _ReachKeys:
        if self.ca_file and self.insecure:
            raise ValueError("ca_file says whom to trust, and insecure trusts everybody: give one of them")
        return self


class _NotebookKeys(_ReachKeys):
    also: list[Text] = Field([], examples=["also: [http://10.0.0.2:8000]"])  # in a file they stand in `attach`


class _AttachedKeys(_ReachKeys):
    attach: Text = Field(examples=["attach: https://llm.example/v1"])
    model: Text | None = Field(None, examples=["model: NAME, one that the server lists"])
    tokenizer: Text | None = Field(None, examples=["tokenizer: ../models/mine, or a hub id"])
    reset_prefix_cache: bool = False


def reach_of(said: Mapping[str, Any], base: Path = Path()) -> Reach:
    """Return how a server is reached by the keys of a file; raise ExperimentError for what cannot be said.

    A relative `ca_file` lies in `base`.
    """
    try:
        keys = _NotebookKeys(**said)
    except ExperimentError as error:
        raise ExperimentError(str(error).replace(_NotebookKeys.__name__.lstrip("_"), "reach", 1)) from None
    return replace(_reach(keys, base), also=tuple(keys.also))


def read_attached(doc: Document, where: Where, started: Collection[str]) -> Attached:
    """Return the attached server at `where`; `started` are the keys of a launch that is started.

    The address is not looked at here.
    """
    mapping = doc.mapping(where)
    for key in mapping:
        if key in started and key not in _AttachedKeys.model_fields:
            doc.faults.note(doc.error((*where, key), _STARTED))
    for way in _ways_to_variables(mapping):
        doc.faults.note(doc.error((*where, *way), _NO_VARIABLE, is_secret=True))  # it may be the key itself
    fields = {key: value for key, value in mapping.items() if not doc.faults.has_within((*where, key))}
    also = ()
    if isinstance(fields["attach"], list):
        fields["attach"], *also = _several(doc, (*where, "attach"), fields["attach"])
    keys = doc.parse(where, _AttachedKeys, _EXAMPLE, fields)
    return Attached(
        address=keys.attach,
        model=keys.model or "",
        tokenizer=_there(keys.tokenizer or "", doc.path.absolute().parent, is_folder=True),
        reset_prefix_cache=keys.reset_prefix_cache,
        reach=replace(_reach(keys, doc.path.absolute().parent), also=tuple(also)),
    )


def _several(doc: Document, where: Where, said: list[Any]) -> list[str]:
    """Return the addresses of one service, of which there is one at least, and none twice."""
    if not said or not all(isinstance(address, str) and address for address in said):
        raise doc.error(
            where, "must be an address, or a list of those of one service: attach: [10.0.0.1:8000, 10.0.0.2:8000]"
        )
    meant = [_bare(address) for address in said]
    if len(set(meant)) < len(meant):
        raise doc.error(
            where, f"{next(one for one, bare in zip(said, meant) if meant.count(bare) > 1)} stands there twice"
        )
    return said


def _bare(address: str) -> str:
    """Return an address as far as it names a server: 'HTTP://a:8000/v1/' is 'a:8000'."""
    scheme, separator, rest = address.strip().lower().rpartition("://")
    host = rest.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"https://{host}" if separator and scheme == "https" else host


def _ways_to_variables(mapping: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the way to each text that is to name a variable, and cannot."""
    headers = mapping.get("headers_env")
    ways = [("headers_env", name, value) for name, value in (headers if isinstance(headers, dict) else {}).items()]
    for *way, value in [("api_key_env", mapping.get("api_key_env")), *ways]:
        if isinstance(value, str) and not _VARIABLE.fullmatch(value):
            yield tuple(way)


def _reach(keys: _ReachKeys, base: Path) -> Reach:
    return Reach(
        api_key_env=keys.api_key_env,
        headers_env=dict(keys.headers_env),
        ca_file=_there(keys.ca_file, base),
        insecure=keys.insecure,
        proxy=keys.proxy,
        behind=tuple(keys.behind),
    )


def _there(text: str, base: Path, is_folder: bool = False) -> str:
    """Return a path in full: from `base` where it lies there; an id of the hub stays as it is."""
    # By os.path: Path's own expanduser raises for a user who is not known, and its is_dir for a long name.
    path = base / os.path.expanduser(text)
    return str(path) if text and (os.path.isdir(path) or not is_folder) else text
