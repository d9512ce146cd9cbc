"""A task of lm-eval as items of a guard, made by lm-eval's own code: `python -m benchbook.measure.lm_eval_task TASK NUMBER FOLDER`.

It is a process of its own: lm-eval brings pandas and the readers of data sets along, prints, and runs the functions that a
task names. What a task asks is taken from the requests that lm-eval itself builds: description, examples, delimiters. What
an item cannot say is refused: judged in another way than the task's own, its answers would tell of something else.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchbook.measure.exact_match import ExactMatch
from benchbook.measure.task_items import ITEMS_FILE, TOLD_FILE
from benchbook.plan.guard import is_task_file
from benchbook.plan.strict import one_line, unknown
from benchbook.terms.errors import ExperimentError

# By what is asked, the metric that says which items are right.
_METRICS = {"multiple_choice": "acc", "generate_until": "exact_match"}
_METRIC_KEYS = ("metric", "aggregation", "higher_is_better", "hf_evaluate")  # of a metric, beside its own arguments
_WRITTEN = {"until", "max_gen_toks", "do_sample", "temperature"}  # of generation_kwargs
_OF_DRAWING = {"top_p", "top_k", "min_p"}  # which change nothing where the likeliest token is taken


def main(named: str, at_most: int, folder: Path) -> None:
    """Write the first `at_most` items of a task, 0 for all, and what is to be known of them; or why there are none."""
    logging.disable(logging.WARNING)
    try:
        task = _task(named)
        match = _match(task)
        rows = list(_rows(task, match, at_most or None))
    except ExperimentError as error:
        told = {"refused": str(error)}
    except Exception as error:  # of lm-eval, of a data set, of a function of the task
        told = {"refused": f"lm-eval cannot read it: {type(error).__name__}: {one_line(str(error))[:300]}"}
    else:
        (folder / ITEMS_FILE).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        told = {"said": _said(task)}
    (folder / TOLD_FILE).write_text(json.dumps(told), encoding="utf-8")


def _task(named: str) -> Any:
    """Return the one task of a file, or of a name that lm-eval knows."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=not is_task_file(named))
    if not hasattr(manager, "load"):
        raise ExperimentError("this lm-eval is too old to be read: `pip install -U lm_eval` (0.4.13 is known to be)")
    if not is_task_file(named) and named not in manager.all_subtasks:
        if named in manager.all_tasks:  # before all of its data sets are loaded
            raise ExperimentError(f"lm-eval's {named} is a group of tasks: name one of them")
        raise ExperimentError(f"lm-eval: {unknown(named, manager.all_tasks, 'task')}")
    found = manager.load(named)
    if found.get("groups") or len(found["tasks"]) != 1:
        raise ExperimentError(f"a group of tasks, such as {', '.join(list(found['tasks'])[:3])}: name one of them")
    return next(iter(found["tasks"].values()))


def _match(task: Any) -> ExactMatch | None:
    """Return how written answers of a task are compared, None where one of choices is right; refuse what items cannot say."""
    from lm_eval.api.task import ConfigurableTask

    if not isinstance(task, ConfigurableTask):
        raise ExperimentError(f"a task written in Python ({type(task).__name__}): those that a file says are read")
    asked = task.OUTPUT_TYPE
    if asked not in _METRICS:
        raise ExperimentError(f"its output_type is {asked}: {' and '.join(_METRICS)} are read")
    if task.config.doc_to_image is not None or task.config.doc_to_audio is not None:
        raise ExperimentError("it shows images or sounds: a guard asks in words")
    if task.config.process_results is not None:
        raise ExperimentError("it judges answers by a function of its own (process_results)")
    if task.multiple_input:
        raise ExperimentError("its choices stand within the question (doc_to_text is a place), and not behind it")
    if task.config.repeats != 1:
        raise ExperimentError(f"it asks each question {task.config.repeats} times (repeats): a guard asks once")
    metric, filters = _metric(task), _filters(task)
    if asked == "generate_until":
        arguments = {key: value for key, value in metric.items() if key not in _METRIC_KEYS}
        return ExactMatch(**{"filters": filters, **arguments})
    if filters:
        raise ExperimentError(f"it filters what tells choices apart ({filters[0].get('function')})")
    return None


def _metric(task: Any) -> Mapping[str, Any]:
    """Return what the task says of the metric that is read."""
    wanted, metrics = _METRICS[task.OUTPUT_TYPE], task.config.metric_list
    if metrics is None:  # what lm-eval takes by itself has it
        return {}
    for each in metrics:
        if each["metric"] == wanted:
            return each
    names = ", ".join(str(getattr(each["metric"], "__name__", each["metric"])) for each in metrics)
    raise ExperimentError(f"its metric is {names}: of {task.OUTPUT_TYPE}, {wanted} is read")


def _filters(task: Any) -> list[Mapping[str, Any]]:
    """Return the first of the task's lists of filters, without what takes the first of several answers: there is but one."""
    first = task.config.filter_list[0]["filter"] if task.config.filter_list else []
    for each in first:
        if (function := each["function"]) not in ("take_first", "regex", "remove_whitespace"):
            name = getattr(function, "__name__", function)
            raise ExperimentError(f"its filter {name} is not read: regex, remove_whitespace and take_first are")
    return [each for each in first if each["function"] != "take_first"]


def _rows(task: Any, match: ExactMatch | None, at_most: int | None) -> Iterator[Mapping[str, Any]]:
    """Yield the items, each the requests that lm-eval builds of one document, as an experiment's file says them."""
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    task.set_fewshot_seed(DEFAULT_OTHER_SEED)  # by which examples are chosen where nobody asks lm-eval for others
    task.build_all_requests(limit=at_most)
    delimiter = task.config.target_delimiter
    for number, grouped in itertools.groupby(task.instances, key=lambda request: request.doc_id):
        requests = list(grouped)
        doc, question = requests[0].doc, requests[0].args[0]
        target = task.doc_to_target(doc)
        if isinstance(target, list):
            raise ExperimentError(f"several answers are right to its document {number}: items have one")
        if match is None:
            bare = question.rstrip()  # lm-eval counts white space at its end to what follows
            between = question[len(bare) :] + delimiter
            choices = [str(choice) for choice in task.doc_to_choice(doc)]
            yield {"question": bare, "delimiter": between, "choices": choices, "answer": target}
        else:
            answer = task.doc_to_choice(doc)[target] if task.config.doc_to_choice is not None else str(target)
            how = _written(requests[0].args[1], match)
            yield {"question": question, "delimiter": delimiter, "answer": answer, **how}


def _written(kwargs: Mapping[str, Any], match: ExactMatch) -> dict[str, Any]:
    """Return how an answer is written, and then compared; refuse what is not written greedily."""
    from lm_eval.models.utils import normalize_gen_kwargs

    said = normalize_gen_kwargs(dict(kwargs))
    if others := sorted(set(said) - _WRITTEN - _OF_DRAWING):
        raise ExperimentError(f"its generation_kwargs say {', '.join(others)}: {', '.join(sorted(_WRITTEN))} are read")
    if said.get("temperature") or said["do_sample"]:
        raise ExperimentError("it draws its answers (do_sample, temperature): a guard writes greedily")
    ends = match.model_copy(update={"until": [*filter(None, said["until"])]})
    return {"max_tokens": said["max_gen_toks"], "match": ends.model_dump(exclude_defaults=True)}


def _said(task: Any) -> str:
    """Return what is to be known of the items: what is right in them, by which lm-eval."""
    import lm_eval

    filters = task.config.filter_list if task.OUTPUT_TYPE == "generate_until" else None
    behind = f" behind its filter {filters[0]['name']}" if filters else ""
    shots = task.config.num_fewshot or 0
    version = (task.config.metadata or {}).get("version")
    named = f"{task.task_name}{'' if version is None else f' {version}'} of lm-eval {lm_eval.__version__}"
    return f"{named}: {_METRICS[task.OUTPUT_TYPE]}{behind}, {shots}-shot"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
