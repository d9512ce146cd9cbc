"""Which model a file asks for: the embedded one, a published one's shape, a folder, or a model of the hub."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import model_validator

from benchbook.plan.document import Document, Where
from benchbook.plan.strict import StrictModel
from benchbook.terms.likeness import alike, did_you_mean

TINY = "tiny"
EMBEDDED = (TINY, "tiny-moe")  # models that are made here: a dense one and a mixture of experts, of random weights
SHAPE_PREFIX = "shape:"  # a published model's shape with random weights

_HUB_NAME = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"  # the hub has no longer ones
_HUB_ID = re.compile(rf"(?!.*(?:--|\.\.|\.git$)){_HUB_NAME}/{_HUB_NAME}", re.ASCII)
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
_ADDRESS = re.compile(
    r"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)(?P<id>[\w.-]+/[\w.-]+)(?:/.*)?", re.ASCII
)
_GGUF = ".gguf"
_GGUF_KIND = re.compile(r"(?:.*[-_.])?(?:I?Q\d.*|TQ\d.*|B?F16|F32|MXFP4.*)", re.IGNORECASE)  # Q4_K_M, UD-IQ2_XXS
_NO_FILES = (
    "names a file in a repository, as GGUF files are named, and vLLM reads them only by the plugin vllm-gguf-plugin: "
    "name a repository with safetensors, such as the one that they were made from"
)
_NO_STORE = (
    "is an address, and a model is read from a folder or from the hub: copy its files to a folder here and write "
    "model: {path: THAT/FOLDER}"
)
# What everybody calls by half of its id.
_FAMILIAR = {
    **{name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")},
    "distilgpt2": "distilbert/distilgpt2",
}
_EMPTY = "is empty: name a folder, or a model of the hub"
_EXAMPLE = "model: tiny, or model: {path: ../models/mine}, or model: {hub: Qwen/Qwen3-0.6B}"


@dataclass(frozen=True)
class ModelRef:
    """Which model: "tiny" or "tiny-moe", "shape:NAME", an absolute folder, or a hub id ("organisation/name") with its revision."""

    path_or_id: str
    revision: str | None = None

    @property
    def has_random_weights(self) -> bool:
        """Whether the reference itself says that the weights are random."""
        return self.path_or_id in EMBEDDED or self.path_or_id.startswith(SHAPE_PREFIX)

    @property
    def is_of_hub(self) -> bool:
        """Whether it is a model of the hub, and no folder."""
        return not self.has_random_weights and _HUB_ID.fullmatch(self.path_or_id) is not None

    def __str__(self) -> str:
        name = self.path_or_id.removeprefix(SHAPE_PREFIX)
        return f"{name} (random weights)" if self.has_random_weights else name


def read_model(doc: Document, where: Where) -> ModelRef:
    """Return the model at `where`: {path: ...}, {hub: ..., revision: ...}, {shape: ...}, or plain text: a path or hub id.

    A relative folder is looked for beside the file, then in the current folder.
    """
    value = doc.at(where)
    if value == "":
        raise doc.error(where, _EMPTY)
    if isinstance(value, str):
        if value in EMBEDDED or _folder(doc, where, value):
            return _local_model(doc, where, value)
        return _hub_model(doc, where, value, None)
    keys = doc.parse(where, _ModelKeys, _EXAMPLE)
    if keys.shape is not None:
        return ModelRef(SHAPE_PREFIX + keys.shape)
    if keys.path == "":
        raise doc.error((*where, "path"), _EMPTY)
    if keys.path is not None:
        return _local_model(doc, (*where, "path"), keys.path)
    return _hub_model(doc, (*where, "hub"), keys.hub, keys.revision)


class _ModelKeys(StrictModel):
    path: str | None = None
    hub: str | None = None
    shape: str | None = None
    revision: str | None = None

    @model_validator(mode="after")
    def _is_one_model(self) -> _ModelKeys:
        if sum(value is not None for value in (self.path, self.hub, self.shape)) != 1:
            raise ValueError("give one of path, hub and shape")
        if self.hub is None and self.revision is not None:
            raise ValueError("revision belongs to hub: a folder and a shape have none")
        return self


def _local_model(doc: Document, where: Where, text: str) -> ModelRef:
    if text in EMBEDDED:
        return ModelRef(text)
    folder = _folder(doc, where, text)
    if folder is None and text.lower().endswith(_GGUF):
        raise doc.error(where, _NO_FILES)
    if folder is None and "://" in text:
        raise doc.error(where, _NO_STORE)
    if folder is None:
        raise doc.error(where, f"no such folder{_looked_for(doc, text)}{_near_tiny(text)}{_shell_hint(text)}")
    if problem := _config_problem(folder / "config.json") or _weights_problem(folder):
        raise doc.error(where, problem)
    return ModelRef(str(folder.resolve()))


def _config_problem(config: Path) -> str:
    """Return what is wrong with a model's config.json, without which nothing can load it; '' when nothing is."""
    try:
        if not config.is_file():
            return "is a folder without a config.json"
        content = json.loads(config.read_bytes())
    except OSError as error:
        return f"{config} cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return f"{config} is not JSON: {error}"
    return "" if isinstance(content, dict) else f"{config} holds no JSON object"


def _weights_problem(folder: Path) -> str:
    """Return which file of weights could not be loaded; '' when all can, or there are none."""
    for path in sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern)):
        if not path.exists():
            return f"{path} leads to {os.readlink(path)}, which is not there"
        if not path.is_file() or not os.access(path, os.R_OK):
            return f"{path} cannot be read"
    return ""


def _folder(doc: Document, where: Where, text: str) -> Path | None:
    """Return the folder that `text` names; None when there is none."""
    try:
        return next((place for place in _places(doc, text) if place.is_dir()), None)
    except OSError as error:  # a name too long, a folder that is closed to us
        raise doc.error(where, f"no folder can be looked for: {error.strerror}") from None


def _places(doc: Document, text: str) -> list[Path]:
    """Return where the folder `text` may be: as written if absolute, else beside the file and in the current folder."""
    folder = Path(os.path.expanduser(text))  # Path's own raises for a user who is not known
    return list(dict.fromkeys((base / folder).absolute() for base in (doc.path.resolve().parent, Path.cwd())))


def _looked_for(doc: Document, text: str) -> str:
    places = _places(doc, text)
    return f"; looked for {' and '.join(map(str, places))}" if not os.path.isabs(os.path.expanduser(text)) else ""


def _hub_model(doc: Document, where: Where, text: str, revision: str | None) -> ModelRef:
    if problem := _more_than_an_id(text):
        raise doc.error(where, problem)
    if not _HUB_ID.fullmatch(text):
        looked = _looked_for(doc, text)
        problem = f"neither 'tiny', nor a folder that exists, nor a hub id of the form 'organisation/name'{looked}"
        half = f"; for the hub's {text} write its organisation too, as its page has it" if _is_half(text) else ""
        raise doc.error(where, problem + (_near_tiny(text) or half) + _shell_hint(text))
    if revision is not None and (not revision or revision.startswith("-")):
        raise doc.error((*where[:-1], "revision"), "is not a revision")
    return ModelRef(text, revision)


def _is_half(text: str) -> bool:
    return re.fullmatch(_HUB_NAME, text, re.ASCII) is not None


def _shell_hint(text: str) -> str:
    return "; no shell reads this file, so $ expands nothing here" if "$" in text else ""


def _more_than_an_id(text: str) -> str:
    """Return what is wrong with a hub id that has a file, a revision or an address around it; '' when it has not."""
    if found := _ADDRESS.fullmatch(text):
        return f"is an address: write the model's id, {found['id']!r}"
    if "://" in text:
        return _NO_STORE
    if text in _FAMILIAR:
        return f"is a hub id without its organisation: write {_FAMILIAR[text]!r}"
    model, mark, revision = text.partition("@")
    if mark and _HUB_ID.fullmatch(model):
        return f"has a revision behind an @: write model: {{hub: {model}, revision: {revision}}}"
    model, mark, name = text.partition(":")
    is_of_id = bool(mark and _HUB_ID.fullmatch(model))
    if text.lower().endswith(_GGUF) or is_of_id and (not name or "/" in name or _GGUF_KIND.fullmatch(name)):
        return _NO_FILES
    return f"has a colon in it: a revision is written model: {{hub: {model}, revision: {name}}}" if is_of_id else ""


def _near_tiny(text: str) -> str:
    near = alike(text, EMBEDDED)
    return f"; {did_you_mean(near)}" if near else ""
