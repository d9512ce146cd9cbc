"""Does the installed vLLM know the data set of a set of requests, and its options? What it does not is a fault at its line."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from benchbook.hosts.vllm.form_problems import problem_of
from benchbook.hosts.vllm.forms import Forms, dataset_forms, flag_of
from benchbook.plan.document import Document, Where
from benchbook.plan.requests import HUB, RequestSet
from benchbook.terms.likeness import nearest

_NAME = "--dataset-name"
_OF_THE_HUB = "datasets"  # a package that vLLM does not bring along
# Options that a set has keys of its own for, or that follow from the launch and the load.
_OURS: Mapping[str, str] = {
    "dataset_name": "is said by dataset",
    "dataset_path": "is said by path",
    "num_prompts": "is said by the benchmark that sends the set",
    "seed": "is the experiment's own: write seed at the top of the file",
    "no_oversample": "always holds: a request is drawn once",
    "trust_remote_code": "is the launch's: its tokenizer is trusted where its model is",
}


def check_dataset(doc: Document, where: Where, wanted: RequestSet) -> None:
    """Note what the installed vLLM does not know of a data set; nothing where there is none, or no vLLM to ask."""
    if wanted.dataset is None or not (forms := dataset_forms()):
        return
    names = sorted(forms[_NAME].choices) if _NAME in forms else []
    if names and wanted.dataset not in names:
        near = nearest(wanted.dataset, names)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(names)}"
        doc.faults.note(doc.error((*where, "dataset"), f"vLLM has no such data set; {hint}"))
        return
    if wanted.dataset == HUB and importlib.util.find_spec(_OF_THE_HUB) is None:
        missing = f"needs the package {_OF_THE_HUB}, which is not installed here: pip install {_OF_THE_HUB}"
        problem = f"vLLM's loader of the hub's data sets {missing}"
        doc.faults.note(doc.error((*where, "dataset"), problem))
    for name, value in wanted.options.items():
        if problem := _problem(name, value, wanted.dataset, names, forms):
            doc.faults.note(doc.error((*where, "options", name), problem))


def _problem(name: str, value: object, dataset: str, datasets: list[str], forms: Forms) -> str:
    """Return why an option will not do, '' when it will."""
    if name in _OURS:
        return _OURS[name]
    if flag_of(name) not in forms:
        near = nearest(name, [flag.removeprefix("--").replace("-", "_") for flag in forms])
        return "vLLM's data sets have no such option" + (f"; did you mean {near}?" if near else "")
    owner = max((other for other in datasets if name.startswith(_in_option(other))), key=len, default="")
    if owner and not _in_option(dataset).startswith(_in_option(owner)):
        return f"is of the data set {owner}, and {dataset} takes no notice of it"
    return problem_of(name, value, forms)


def _in_option(dataset: str) -> str:
    return dataset.replace("-", "_") + "_"
