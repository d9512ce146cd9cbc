"""Launches without repetition: a base, likeness, a matrix, and where what is wrong in them stands."""

from __future__ import annotations

import pytest
from benchbook.plan.experiment import COMPARISON_REPEATS, DEFAULT_REPEATS, load_experiment
from benchbook.terms.errors import ExperimentError

BENCHMARKS = "benchmarks: [serve: {max_concurrency: 1, lengths: [8, 8], num_prompts: 9}]"
BASE = "base: {args: {enforce_eager: true, max_model_len: 4096}, env: {VLLM_X: 1.10}}"


@pytest.fixture
def load(tmp_path):
    """Return a function that loads an experiment with these `launches:`, and other lines."""

    def load_text(launches: str, *lines: str):
        path = tmp_path / "exp.yaml"
        path.write_text("\n".join(["question: q", "model: tiny", f"launches: {launches}", BENCHMARKS, *lines]) + "\n")
        return load_experiment(path)

    return load_text


def told(load, *lines) -> list[str]:
    with pytest.raises(ExperimentError) as refused:
        load(*lines)
    return [line.split("exp.yaml:")[1] for line in str(refused.value).splitlines()]


def test_every_launch_begins_with_the_base_and_a_null_takes_away_of_it(load):
    plain, other = load("{a: {}, b: {args: {max_model_len: null, dtype: float32}, env: {VLLM_X: 2}}}", BASE).launches
    assert plain.args == {"enforce_eager": True, "max_model_len": 4096}
    assert plain.env == {"VLLM_X": "1.10"}  # as it is written
    assert other.args == {"enforce_eager": True, "dtype": "float32"}
    assert other.env == {"VLLM_X": "2"}


def test_what_is_written_in_short_is_the_same_launch_as_what_is_written_out(load):
    short = load("{a: {}, b: {args: {seed: 1}}, c: {like: b, env: {VLLM_Y: a}}}", "base: {args: {dtype: half}}")
    full = load("{a: {args: {dtype: half}}, b: {args: {dtype: half, seed: 1}}, "
                "c: {args: {dtype: half, seed: 1}, env: {VLLM_Y: a}}}")  # fmt: skip
    assert short.launches == full.launches
    assert [case.case_id for case in short.cases] == [case.case_id for case in full.cases]


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ("{args.max_num_seqs: [64, 128]}", ["m-64", "m-128"]),
        ("{args.max_num_seqs: [null, 128]}", ["m-null", "m-128"]),
        ("{args.enforce_eager: [true, false], env.VLLM_X: 3}", ["m-true", "m-false"]),
        ("{args.a: [1, 2], env.B: [x/y, z]}", ["m-a_1-B_x_y", "m-a_1-B_z", "m-a_2-B_x_y", "m-a_2-B_z"]),
        ("{args.compilation_config.mode: [0, 3]}", ["m-0", "m-3"]),
        ("{args.a: [1, 2], args.b: [3, 4], exclude: [{args.a: 1, args.b: 4}]}", ["m-a_1-b_3", "m-a_2-b_3", "m-a_2-b_4"]),
        ("{zip: {args.a: [1, 2, 2], args.b: [3, 3, 4]}}", ["m-a_1-b_3", "m-a_2-b_3", "m-a_2-b_4"]),
        ("{args.c: [5, 6], zip: {args.a: [1, 2], args.b: [3, 4]}}",
         ["m-c_5-a_1-b_3", "m-c_5-a_2-b_4", "m-c_6-a_1-b_3", "m-c_6-a_2-b_4"]),
        ("{args.very_long_name_of_a_flag: [1, 2], args.another_very_long_name_of_a_flag: [3]}", ["m-1", "m-2"]),
        ("{args.very_long_name_of_a_flag: [1, 2], args.another_very_long_name_of_a_flag: [3, 4]}",
         ["m-1-3", "m-1-4", "m-2-3", "m-2-4"]),
        ("{args.path: [/models/" + "a" * 60 + ", /models/" + "b" * 60 + "]}", ["m-1", "m-2"]),
    ],
)  # fmt: skip
def test_a_matrix_makes_launches_that_are_named_after_what_they_differ_in(load, matrix, names):
    assert [launch.name for launch in load(f"{{m: {{matrix: {matrix}}}}}").launches] == names


def test_a_launch_of_a_matrix_has_what_it_begins_with_and_its_point(load):
    launches = load(
        "{one: {}, m: {like: one, args: {seed: 7}, matrix: {args.max_model_len: [null, 99]}}}", BASE
    ).launches
    assert [launch.args for launch in launches[1:]] == [
        {"enforce_eager": True, "seed": 7},
        {"enforce_eager": True, "max_model_len": 99, "seed": 7},
    ]


def test_a_fault_of_the_base_is_told_once_and_where_it_stands(load):
    assert told(load, "{a: {}, b: {}, c: {like: a}}", "base: {args: {max_model_len: 0}}") == [
        "5: base.args.max_model_len: 0: must be a whole number of tokens, at least 1, or a size such as 128k"
    ]
    assert told(load, "{a: {}}", "base: {argz: {x: 1}}")[0].startswith("5: base.argz: {x}: unknown key; did you mean")
    assert told(load, "{a: {}}", "base: [1]") == ["5: base: [1]: must be a mapping of keys to values, such as {args: "
                                                  "{max_model_len: 4096}}"]  # fmt: skip


@pytest.mark.parametrize(
    ("launches", "line"),
    [
        ("{a: {like: b}}", "3: launches.a.like: 'b': unknown launch (known: a)"),
        ("{a: {like: b}, b: {like: a}}", "3: launches.b.like: 'a': goes in a circle: a is like b is like a"),
        ("{m: {matrix: {args.a: [1, 2]}}, b: {like: m}}", "3: launches.b.like: 'm': is a matrix, of several launches"),
        ("{m: {matrix: {max_num_seqs: [1, 2]}}}", "3: launches.m.matrix.max_num_seqs: [1, 2]: is no axis of launches"),
        ("{m: {matrix: {args.a: []}}}", "3: launches.m.matrix.args.a: []: is an empty axis"),
        ("{m: {matrix: {}}}", "3: launches.m.matrix: {}: has no axis"),
        ("{m: {matrix: 3}}", "3: launches.m.matrix: 3: must be a mapping"),
        ("{m: {matrix: {zip: {args.a: [1], args.b: [1, 2]}}}}", "3: launches.m.matrix.zip: {args.a, args.b}: its axes go"),
        ("{m: {matrix: {args.a: [1], zip: {args.a: [1]}}}}", "3: launches.m.matrix.zip.args.a: [1]: is an axis of the"),
        ("{m: {matrix: {args.Big: [1, 2]}}}", "3: launches.m.matrix.args.Big[0]: 1: an arg is named as in its engine"),
        ("{m: {matrix: {args.a: [1, 2]}}, m-1: {}}", "3: launches.m: {matrix}: makes a launch 'm-1', and there is another"),
        ("{m: {matrix: {args.a: [" + ", ".join(map(str, range(201))) + "]}}}", "3: launches.m.matrix: {args.a}: makes more"),
        ("{a: {args: {seed: null}}}", "3: launches.a.args.seed: null: has no value: leave the key out"),
        ("{m: {args: 5, matrix: {args.a: [1, 2]}}}", "3: launches.m.args: 5: must be a mapping"),
        ("{m: {args: [1], matrix: {env.A: [1, 2]}}}", "3: launches.m.args: [1]: must be a mapping"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_out_is_refused_where_it_stands(load, launches, line):
    assert any(each.startswith(line) for each in told(load, launches)), told(load, launches)


@pytest.mark.parametrize("benchmarks", ["5", "{serve: {}}", "serve"])
def test_benchmarks_that_are_no_list_are_refused_as_that_alone(tmp_path, benchmarks):
    path = tmp_path / "exp.yaml"
    path.write_text(f"question: q\nmodel: tiny\nlaunches: {{a: {{}}}}\nbenchmarks: {benchmarks}\n")
    with pytest.raises(ExperimentError, match="^[^\n]*exp.yaml:4: benchmarks: [^\n]*$"):
        load_experiment(path)


def test_launches_without_turns_have_one_start_each_and_three_repeats(load):
    alone, turning = load("{a: {}, b: {}, c: {}}", "turns: false"), load("{a: {}, b: {}, c: {}}")
    assert (alone.repeats, turning.repeats) == (DEFAULT_REPEATS, COMPARISON_REPEATS)
    blocks = alone.planned_rounds()
    assert [block.launch for block in blocks] == ["a", "b", "c"] and not alone.starts_anew("server")
    assert all([repeat.number for repeat in block.repeats] == [0, 1, 2] for block in blocks)
    assert "turns: false: is one start each" in told(load, "{a: {}}", "turns: false", "repeats: {starts: 3}")[0]
