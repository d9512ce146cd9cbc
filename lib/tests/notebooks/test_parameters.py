"""The parameters of a notebook: known ones only, and nothing that was made from other ones than it has now."""

import pytest
from benchbook import parameters
from benchbook.plan.named_launches import NAMED_LAUNCHES, named_launch
from benchbook.plan.workloads import ServeWorkload
from benchbook.terms.errors import ExperimentError


@pytest.fixture
def notebook(monkeypatch):
    """Return the variables of a notebook with two parameters, as its kernel has them."""
    annotated = {"num_prompts": int, "engine_args": dict}
    names = {"num_prompts": 40, "engine_args": {}, "__annotations__": annotated, "other": 1}
    monkeypatch.setattr(parameters, "_namespace", lambda: names)
    return names


def test_parameters_are_what_the_notebook_annotates_and_later_changes_do_not_reach_the_copy(notebook):
    shown = parameters.shown()
    notebook["engine_args"]["max_model_len"] = 8192
    assert shown == {"num_prompts": 40, "engine_args": {}}


def test_outside_of_a_notebook_nothing_is_refused():
    assert parameters.shown() == {}
    parameters.refuse_unknown()
    parameters.refuse_stale("workload", object(), {"num_prompts": 40})
    with parameters.without_result():
        pass


@pytest.mark.parametrize("lines", ["num_promts = 12\n", "num_prompts = 1\nnum_promts = {'a': 1}\n"])
def test_a_parameter_that_papermill_was_given_and_the_notebook_lacks_is_refused_with_the_nearest(notebook, lines):
    notebook["In"] = ["", "num_prompts: int = 40", f"# Parameters\n{lines}"]
    with pytest.raises(ExperimentError, match="unknown parameter 'num_promts'; did you mean 'num_prompts'[?] The not"):
        parameters.refuse_unknown()


def test_what_somebody_assigns_in_cells_of_their_own_is_no_parameter(notebook):
    notebook["In"] = ["", "num_prompts: int = 40", "# Parameters\nnum_prompts = 12\n", "num_promts = 3"]
    parameters.refuse_unknown()


def test_what_was_made_with_another_value_is_refused_in_one_sentence(notebook):
    notebook["workload"] = made = object()
    parameters.refuse_stale("workload", made, {"num_prompts": 40, "unshown": 1})
    notebook["num_prompts"] = 12
    said = "^num_prompts is 12 now, but `workload` was made with 40: run that cell again$"
    with pytest.raises(ExperimentError, match=said):
        parameters.refuse_stale("workload", made, {"num_prompts": 40})


@pytest.mark.parametrize("said", [4, "inf", float("inf"), "1 to 16", "2 TO 8 exponential"])
@pytest.mark.parametrize("cap", [None, 8])
def test_a_rate_that_was_said_in_another_way_than_it_is_held_is_no_other_one(notebook, said, cap):
    fields = {"input_len_tokens": 8, "output_len_tokens": 4, "num_prompts": 40, "max_concurrency": cap}
    notebook["workload"] = made = ServeWorkload(**fields, request_rate_rps=said)
    notebook["__annotations__"] = {"request_rate_rps": object}
    notebook["request_rate_rps"] = said
    parameters.refuse_stale("workload", made, made.model_dump(), made.held)
    for other in (5, "1 to 32", "fast"):
        notebook["request_rate_rps"] = other
        with pytest.raises(ExperimentError, match="run that cell again"):
            parameters.refuse_stale("workload", made, made.model_dump(), made.held)


def test_what_somebody_made_under_another_name_is_theirs_to_know(notebook):
    notebook["workload"], notebook["num_prompts"] = object(), 12
    parameters.refuse_stale("workload", object(), {"num_prompts": 40})


def test_an_interrupted_measurement_leaves_no_earlier_result_to_be_taken_for_its_own(notebook):
    notebook["saved"] = "the earlier one"
    with parameters.without_result():
        assert notebook["saved"] != "the earlier one"
    assert notebook["saved"] == "the earlier one", "a measurement under another name leaves it alone"
    with pytest.raises(KeyboardInterrupt), parameters.without_result():
        raise KeyboardInterrupt
    with pytest.raises(ExperimentError, match="the last measurement did not end; run its cell again"):
        _ = notebook["saved"].record
    assert not hasattr(notebook["saved"], "_repr_html_")


def test_a_named_launch_takes_a_model_flags_and_variables_on_top():
    launch = named_launch("tiny-cpu", "/models/mine", {"dtype": "bfloat16"}, {"OMP_NUM_THREADS": 2})
    assert launch.model.path_or_id == "/models/mine"
    assert (launch.args["dtype"], launch.env["OMP_NUM_THREADS"]) == ("bfloat16", "2")
    assert launch.args["max_model_len"] == NAMED_LAUNCHES["tiny-cpu"].args["max_model_len"]
    assert named_launch("default").args == {}


def test_a_launch_without_a_name_that_is_known_is_refused_with_the_nearest():
    with pytest.raises(ExperimentError, match="launch: 'tiny_cpu': unknown launch; did you mean 'tiny-cpu'"):
        named_launch("tiny_cpu")
