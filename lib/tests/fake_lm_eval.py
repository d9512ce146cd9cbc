"""A stand-in for lm-eval, put in front of an installed one: it reads task files that say their requests, and nothing else.

What lm-eval itself makes of a task is proved by it alone (measure/test_lm_eval.py); here is as much as is asked for one.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

_FILES = {
    "lm_eval/__init__.py": "__version__ = '0.0.fake'",
    "lm_eval/defaults.py": "DEFAULT_OTHER_SEED = 1234",
    "lm_eval/models/__init__.py": "",
    "lm_eval/models/utils.py": """
        def normalize_gen_kwargs(said):
            return {"until": [], "max_gen_toks": 256, "do_sample": False, **said}
        """,
    "lm_eval/api/__init__.py": "",
    "lm_eval/api/task.py": """
        from types import SimpleNamespace

        KEYS = ("doc_to_image", "doc_to_audio", "process_results", "metric_list", "filter_list", "metadata", "num_fewshot")

        class ConfigurableTask:
            multiple_input = 0

            def __init__(self, said):
                self.task_name, self.OUTPUT_TYPE = said["task"], said["output_type"]
                known = dict.fromkeys(KEYS) | {"repeats": 1, "target_delimiter": " ", "doc_to_choice": None}
                self.config = SimpleNamespace(**known | said)

            def set_fewshot_seed(self, seed):
                assert seed == 1234

            def build_all_requests(self, limit):
                print("lm-eval talks")
                docs = self.config.docs[:limit]
                said = self.config.generation_kwargs if self.OUTPUT_TYPE == "generate_until" else None
                self.instances = [
                    SimpleNamespace(doc=doc, doc_id=number, args=(doc["question"], said)) for number, doc in enumerate(docs)
                ]

            def doc_to_target(self, doc):
                return doc["target"]

            def doc_to_choice(self, doc):
                return doc["choices"]
        """,
    "lm_eval/tasks/__init__.py": """
        import yaml
        from lm_eval.api.task import ConfigurableTask

        class TaskManager:
            all_subtasks, all_tasks = ["arc_easy", "gsm8k"], ["arc_easy", "gsm8k", "mmlu"]

            def __init__(self, include_defaults):
                pass

            def load(self, named):
                with open(named) as file:
                    said = yaml.safe_load(file)
                return {"tasks": {said["task"]: ConfigurableTask(said)}}
        """,
}


def put_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process and those that it starts find the stand-in, which is written into `folder`."""
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
