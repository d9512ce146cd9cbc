"""Every refusal of an experiment file is one line that names the file, the line, the key, the value and the repair."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.plan.experiment import load_experiment
from benchbook.terms.errors import ExperimentError

BASE = """\
question: How fast?
model: tiny
launches:
  eager: {args: {max_model_len: 4096}, env: {A: 1}}
benchmarks:
  - serve:
      max_concurrency: [1, 8]
      lengths: [[128, 64], [512, 32]]
      num_prompts: 10 per concurrency
  - latency: {lengths: [128, 64], batch_size: 1}
repeats: 2
"""

# (what is refused, text replaced in BASE, by what, the line named, what the message must hold)
REFUSALS = [
    # keys
    ("an unknown key at the top", "repeats: 2", "repeat: 2", 11, ["repeat: 2: unknown key", "did you mean 'repeats'?"]),
    ("an unknown key of a launch", "env: {", "envs: {", 4, ["launches.eager.envs: {A}", "did you mean 'env'?"]),
    ("an unknown benchmark", "- latency", "- latancy", 10, ["benchmarks[1].latancy", "did you mean 'latency'?"]),
    (
        "an unknown axis",
        "max_concurrency:",
        "max_concurency:",
        7,
        ["benchmarks[0].serve.max_concurency: [1, 8]: unknown key", "did you mean 'max_concurrency'?"],
    ),
    (
        "request_rate without its unit",
        "max_concurrency: [1, 8]",
        "request_rate: 2",
        7,
        ["did you mean 'request_rate_rps'?"],
    ),
    (
        "a key of another benchmark",
        "batch_size: 1",
        "batch_size: 1, num_prompts: 1",
        10,
        ["num_prompts: 1: unknown key"],
    ),
    (
        "a length outside its pair",
        "lengths: [128, 64]",
        "input_len_tokens: 128",
        10,
        ["input_len_tokens: 128: unknown key", "lengths"],
    ),
    ("a missing question", "question: How fast?\n", "", 1, ["question: is missing"]),
    ("a missing model", "model: tiny\n", "", 1, ["model: is missing"]),
    (
        "missing launches",
        "launches:\n  eager: {args: {max_model_len: 4096}, env: {A: 1}}\n",
        "",
        1,
        ["launches: is missing"],
    ),
    ("a duplicate key", "repeats: 2", "repeats: 2\nrepeats: 3", 12, ["repeats: duplicate key"]),
    # types
    ("an empty question", "How fast?", "''", 1, ["question: '': is empty"]),
    ("text for a number", "[1, 8]", "[1, '8']", 7, ["max_concurrency[1]: '8': must be a valid integer"]),
    ("a truth value for a number", "[1, 8]", "[true, 8]", 7, ["max_concurrency[0]: true: must be a valid integer"]),
    ("a fraction for a whole number", "[1, 8]", "[1, 8.0]", 7, ["max_concurrency[1]: 8.0: must be a valid integer"]),
    ("a mapping for a number", "[1, 8]", "{from: 1}", 7, ["max_concurrency: {from}: must be a valid integer"]),
    ("text for repeats", "repeats: 2", "repeats: two", 11, ["repeats: 'two': must be a valid integer"]),
    (
        "a list for the launches",
        "  eager: {args: {max_model_len: 4096}, env: {A: 1}}",
        "  [eager]",
        3,
        ["launches: ['eager']"],
    ),
    (
        "a launch that is no mapping",
        "{args: {max_model_len: 4096}, env: {A: 1}}",
        "8",
        4,
        ["eager: 8: must be a mapping"],
    ),
    ("args that are no mapping", "{max_model_len: 4096}", "[--enforce-eager]", 4, ["args: ['--enforce-eager']"]),
    (
        "a benchmark that is no mapping",
        "- latency: {lengths: [128, 64], batch_size: 1}",
        "- latency",
        10,
        ["must be a mapping"],
    ),
    (
        "two benchmarks in one item",
        "batch_size: 1}",
        "batch_size: 1}\n    serve: {}",
        10,
        ["must have one key, the benchmark"],
    ),
    ("a length that is no pair", "[512, 32]", "[512, 32, 1]", 8, ["lengths[1]: [512, 32, 1]: must be a pair"]),
    ("text in a pair", "[512, 32]", "[512, x]", 8, ["lengths[1][1]: 'x': output_len_tokens must be a valid integer"]),
    ("not a number", "[1, 8]", "[1, .nan]", 7, ["serve.max_concurrency[1]: '.nan': write a plain finite number"]),
    ("infinity", "[1, 8]", "[1, .inf]", 7, ["'.inf': write a plain finite number"]),
    ("an exponent without end", "[1, 8]", "[1, 1e999]", 7, ["'1e999': write a plain finite number"]),
    ("an octal number", "[1, 8]", "[1, 010]", 7, ["'010': write a plain decimal number"]),
    ("a number beyond all use", "[1, 8]", "[1, 99999999999999999999]", 7, ["write a plain decimal number"]),
    ("an unquoted yes", "{A: 1}", "{A: yes}", 4, ["'yes': write true or false, or quote it"]),
    # ranges and axes
    ("an empty axis", "[1, 8]", "[]", 7, ["max_concurrency: []: is an empty axis"]),
    ("empty lengths", "lengths: [128, 64]", "lengths: []", 10, ["lengths: []: is an empty axis"]),
    (
        "a benchmark without axes",
        "{lengths: [128, 64], batch_size: 1}",
        "{}",
        10,
        ["latency: {}: lacks lengths and batch_size"],
    ),
    ("a benchmark without a body", "{lengths: [128, 64], batch_size: 1}", "", 10, ["latency: null: must be a mapping"]),
    ("a missing required key", ", batch_size: 1", "", 10, ["latency: {lengths}: lacks batch_size"]),
    ("concurrency below 1", "[1, 8]", "[0, 8]", 7, ["max_concurrency[0]: 0: must be greater than or equal to 1"]),
    ("a batch below 1", "batch_size: 1", "batch_size: 0", 10, ["batch_size: 0: must be greater than or equal to 1"]),
    ("prompts below 1", "10 per concurrency", "0", 9, ["num_prompts: 0: must be greater than or equal to 1"]),
    ("a length below 1", "[512, 32]", "[512, 0]", 8, ["lengths[1][1]: 0: output_len_tokens must be"]),
    ("repeats below 1", "repeats: 2", "repeats: 0", 11, ["repeats: 0: must be greater than or equal to 1"]),
    (
        "a seed that numpy cannot take",
        "repeats: 2",
        "seed: 2147483648",
        11,
        ["seed: 2147483648: must be less than or equal"],
    ),
    ("an unbounded load", "      max_concurrency: [1, 8]\n", "", 6, ["set max_concurrency, request_rate_rps, or both"]),
    (
        "an unbounded load of so many prompts",
        "      max_concurrency: [1, 8]\n      lengths: [[128, 64], [512, 32]]\n      num_prompts: 10 per concurrency",
        "      lengths: [128, 64]\n      num_prompts: 10",
        6,
        ["workload is unbounded: set max_concurrency, request_rate_rps, or both"],
    ),
    (
        "a rule for prompts that is none",
        "10 per concurrency",
        "10 per user",
        9,
        ["'10 per user'", "'N per concurrency'"],
    ),
    ("a matrix beyond all use", "[1, 8]", str(list(range(1, 2600))), 6, ["makes more than 5000 cases"]),
    (
        "lengths beyond max_model_len",
        "[512, 32]",
        "[4096, 1]",
        8,
        ["lengths[1]: [4096, 1]", "4097 tokens", "4096", "(line 4)"],
    ),
    (
        "a max_model_len that is no number",
        "4096",
        "4 thousand",
        4,
        ["max_model_len: '4 thousand': must be a whole number of tokens"],
    ),
    # duplicates and exclusions
    ("a value twice on an axis", "[1, 8]", "[1, 8, 1]", 7, ["max_concurrency[2]: 1: duplicate case"]),
    (
        "a case asked for twice",
        "repeats: 2",
        "  - latency: {lengths: [128, 64], batch_size: [8, 1]}",
        11,
        ["duplicate case 'eager,latency,lengths=128x64,batch_size=1'", "first in line 10"],
    ),
    (
        "an exclude that matches nothing",
        "batch_size: 1",
        "batch_size: 1, exclude: [{batch_size: 2}]",
        10,
        ["excludes nothing"],
    ),
    (
        "an exclude by text",
        "batch_size: 1",
        "batch_size: [1, 2], exclude: [{batch_size: '2'}]",
        10,
        ["excludes nothing"],
    ),
    (
        "an exclude of everything",
        "batch_size: 1",
        "batch_size: 1, exclude: [{batch_size: 1}]",
        10,
        ["leaves no combination"],
    ),
    ("an exclude that says nothing", "batch_size: 1", "batch_size: 1, exclude: [{}]", 10, ["would exclude everything"]),
    ("an exclude that is no list", "batch_size: 1", "batch_size: 1, exclude: {batch_size: 1}", 10, ["must be a list"]),
    (
        "an unknown key of an exclude",
        "batch_size: 1",
        "batch_size: [1, 2], exclude: [{batchsize: 1}]",
        10,
        ["exclude[0].batchsize: 1: unknown key", "did you mean 'batch_size'?"],
    ),
    (
        "an unknown launch",
        "batch_size: 1",
        "batch_size: 1, launches: [eagre]",
        10,
        ["unknown launch", "did you mean 'eager'?"],
    ),
    # launches
    ("no launch", "eager: {args: {max_model_len: 4096}, env: {A: 1}}", "{}", 3, ["launches: {}: is empty"]),
    ("a launch named like a path", "  eager:", "  ../x:", 4, ["launches.../x", "the launch's name must be letters"]),
    ("a launch named like a long text", "  eager:", f"  {'e' * 61}:", 4, ["at most 60 characters"]),
    (
        "our port",
        "max_model_len: 4096",
        "port: 8000",
        4,
        ["port: 8000: is not yours to set: benchbook chooses a free port"],
    ),
    ("our host", "max_model_len: 4096", "--host: 0.0.0.0", 4, ["--host: '0.0.0.0': is not yours to set"]),
    ("our key", "max_model_len: 4096", "api-key: hush", 4, ["api-key: is not yours to set"]),
    ("our served name", "max_model_len: 4096", "served_model_name: x", 4, ["is not yours to set"]),
    ("a model among the args", "max_model_len: 4096", "model: x", 4, ["is not yours to set: set it in model:"]),
    ("an arg with dashes", "max_model_len", "max-model-len", 4, ["with underscores: write 'max_model_len'"]),
    ("an arg without a value", "max_model_len: 4096", "dtype:", 4, ["args.dtype: null: has no value"]),
    (
        "an option without a value",
        "max_model_len: 4096",
        "compilation_config: {mode: }",
        4,
        ["args.compilation_config.mode: null: has no value"],
    ),
    ("an option in dots without one", "max_model_len: 4096", "cc.mode:", 4, ["args.cc.mode: null: has no value"]),
    ("an item without a value", "max_model_len: 4096", "cc: {a: ['']}, dtype: null", 4, ["args.dtype: null"]),
    ("an arg of Python's nothing", "max_model_len: 4096", "dtype: None", 4, ["args.dtype: 'None': has no value"]),
    ("an environment list", "{A: 1}", "{A: [1]}", 4, ["env.A: [1]: must be a number or text"]),
    ("an environment of nothing", "{A: 1}", "{A: }", 4, ["env.A: null: has no value: write '' for an empty one"]),
    ("a comma in an environment", "{A: 1}", "{A: a,b}", 4, ["env.b: null: has no value", "stands in quotes"]),
    ("an environment boolean", "{A: 1}", "{A: true}", 4, ["env.A: true: the environment has no booleans"]),
    ("an environment variable of ours", "{A: 1}", "{BENCHBOOK_HOST_ID: 1}", 4, ["is not yours to set"]),
    ("an environment variable that cannot be", "{A: 1}", "{A=B: 1}", 4, ["is not the name of an environment variable"]),
    # models
    (
        "a folder that is not there",
        "tiny",
        "{path: /no/such/folder}",
        2,
        ["model.path: '/no/such/folder': no such folder"],
    ),
    ("a misspelt tiny", "model: tiny", "model: tinny", 2, ["'tinny'", "did you mean 'tiny'?"]),
    ("a model of nothing", "tiny", "''", 2, ["model: '': is empty: name a folder, or a model of the hub"]),
    ("a path of nothing", "tiny", "{path: ''}", 2, ["model.path: '': is empty: name a folder"]),
    ("a hub id by another name", "tiny", "{name: a/b}", 2, ["model.name: 'a/b': unknown key; did you mean 'hub'?"]),
    ("a commit by another name", "tiny", "{hub: a/b, rev: x}", 2, ["model.rev: 'x': unknown key; did you mean 'rev"]),
    ("a hub id that climbs", "tiny", "{hub: a/..b}", 2, ["model.hub: 'a/..b'"]),
    (
        "both a path and a hub id",
        "tiny",
        "{path: tiny, hub: a/b}",
        2,
        ["model: {path, hub}: give one of path, hub and shape"],
    ),
    ("a revision of a folder", "tiny", "{path: tiny, revision: main}", 2, ["revision belongs to hub"]),
    (
        "a revision that is an option",
        "tiny",
        "{hub: a/b, revision: --x}",
        2,
        ["model.revision: '--x': is not a revision"],
    ),
    ("a launch's model that is not there", "env: {A: 1}", "model: nowhere", 4, ["launches.eager.model: 'nowhere'"]),
    # limits
    (
        "an unknown limit",
        "repeats: 2",
        "slo: {p99_tfft_ms: 1}",
        11,
        ["slo.p99_tfft_ms: 1: unknown key", "'p99_ttft_ms'"],
    ),
    (
        "a limit of zero",
        "repeats: 2",
        "slo: {p99_ttft_ms: 0}",
        11,
        ["slo.p99_ttft_ms: 0: must be a number of milliseconds"],
    ),
    (
        "a limit by both its names",
        "repeats: 2",
        "slo: {p50_ttft_ms: 1, median_ttft_ms: 2}",
        11,
        ["slo.median_ttft_ms: 2: is median_ttft_ms once more: p50 and median are one"],
    ),
    ("a limit that is text", "repeats: 2", "slo: {p99_ttft_ms: 1s}", 11, ["slo.p99_ttft_ms: '1s'"]),
    # precision and repeats
    (
        "both a number of prompts and a precision",
        "10 per concurrency",
        "10\n      precision: {p99_ttft_ms: 10 %}",
        10,
        ["serve.precision: {p99_ttft_ms}: plans num_prompts: give one of the two"],
    ),
    (
        "neither a number of prompts nor a precision",
        "      num_prompts: 10 per concurrency\n",
        "",
        6,
        ["lacks num_prompts"],
    ),
    (
        "a precision of another benchmark",
        "batch_size: 1",
        "batch_size: 1, precision: {p99_ttft_ms: 10 %}",
        10,
        ["precision: {p99_ttft_ms}: unknown key"],
    ),
    (
        "a misspelt metric of a precision",
        "num_prompts: 10 per concurrency",
        "precision: {p99_tfft_ms: 10 %}",
        9,
        ["precision.p99_tfft_ms: '10 %': unknown key", "did you mean 'p99_ttft_ms'?"],
    ),
    (
        "a precision of gaps within answers",
        "num_prompts: 10 per concurrency",
        "precision: {p99_itl_ms: 10 %}",
        9,
        ["precision.p99_itl_ms: '10 %': unknown key"],
    ),
    (
        "a precision that is no share",
        "num_prompts: 10 per concurrency",
        "precision: {p99_ttft_ms: 0.1}",
        9,
        ["precision.p99_ttft_ms: 0.1: must be a share of the value, such as 10 %"],
    ),
    (
        "a precision of nothing",
        "num_prompts: 10 per concurrency",
        "precision: {p99_ttft_ms: 0 %}",
        9,
        ["must be a share of the value, such as 10 %"],
    ),
    (
        "a precision without a metric",
        "num_prompts: 10 per concurrency",
        "precision: {at_most: 100}",
        9,
        ["precision: {at_most}: names no metric"],
    ),
    (
        "a budget of no prompts",
        "num_prompts: 10 per concurrency",
        "precision: {p99_ttft_ms: 10 %, at_most: 0}",
        9,
        ["precision.at_most: 0: must be a whole number of prompts"],
    ),
    (
        "a spread that is none",
        "num_prompts: 10 per concurrency",
        "precision: {p99_ttft_ms: 10 %, spread: wide}",
        9,
        ["precision.spread: 'wide': must be a number above 0"],
    ),
    (
        "a precision that is no mapping",
        "num_prompts: 10 per concurrency",
        "precision: 10 %",
        9,
        ["precision: '10 %': must be a mapping"],
    ),
    (
        "a misspelt key of repeats",
        "repeats: 2",
        "repeats: {at_lest: 2, at_most: 3, until: {ttft_ms: 2 %}}",
        11,
        ["repeats.at_lest: 2: unknown key", "did you mean 'at_least'?"],
    ),
    ("repeats without an end", "repeats: 2", "repeats: {until: {p99_ttft_ms: 2 %}}", 11, ["at_most: is missing"]),
    ("repeats without a target", "repeats: 2", "repeats: {at_most: 3}", 11, ["until: is missing"]),
    (
        "repeats that end before they begin",
        "repeats: 2",
        "repeats: {at_least: 5, at_most: 3, until: {p99_ttft_ms: 2 %}}",
        11,
        ["at_most 3 is below at_least 5"],
    ),
    (
        "starts beyond the budget",
        "repeats: 2",
        "repeats: {starts: 5, at_most: 3, until: {p99_ttft_ms: 2 %}}",
        11,
        ["at_most 3 is below starts 5"],
    ),
    (
        "starts and a least of rounds",
        "repeats: 2",
        "repeats: {starts: 3, at_least: 3, at_most: 5, until: {p99_ttft_ms: 2 %}}",
        11,
        ["starts are the least rounds already, each on a fresh start: leave at_least out"],
    ),
    ("one start", "repeats: 2", "repeats: {starts: 1}", 11, ["starts: 1: must be greater than or equal to 2"]),
    ("misspelt starts", "repeats: 2", "repeats: {startz: 3}", 11, ["startz: 3: unknown key; did you mean 'starts'?"]),
    ("a budget of starts alone", "repeats: 2", "repeats: {starts: 3, at_most: 5}", 11, ["until: is missing"]),
    ("starts in words", "repeats: 2", "repeats: {starts: three}", 11, ["starts: 'three': must be a valid integer"]),
    (
        "one repeat, which has no spread",
        "repeats: 2",
        "repeats: {at_least: 1, at_most: 3, until: {p99_ttft_ms: 2 %}}",
        11,
        ["repeats.at_least: 1: must be greater than or equal to 2"],
    ),
    (
        "a misspelt target",
        "repeats: 2",
        "repeats: {at_most: 5, until: {output_throughput: 2 %}}",
        11,
        ["repeats.until.output_throughput: '2 %': unknown key", "did you mean 'output_throughput_tok_s'?"],
    ),
    (
        "a target that no case has",
        "repeats: 2",
        "repeats: {at_most: 5, until: {ttft_ms: 2 %}}",
        11,
        ["repeats.until.ttft_ms: '2 %': no benchmark of this experiment has this metric"],
    ),
    (
        "a target without its percent",
        "repeats: 2",
        "repeats: {at_most: 5, until: {p99_ttft_ms: 2}}",
        11,
        ["repeats.until.p99_ttft_ms: 2: must be a share"],
    ),
    ("no target", "repeats: 2", "repeats: {at_most: 5, until: {}}", 11, ["repeats.until: {}: names no metric"]),
    ("an order seed that is none", "repeats: 2", "order_seed: -1", 11, ["order_seed: -1: must be greater than"]),
    # YAML
    ("a tab", "  eager:", "\teager:", 4, ["not valid YAML", "spaces, not tabs"]),
    ("an open bracket", "repeats: 2", "repeats: [2", 12, ["not valid YAML"]),
    ("a second document", "repeats: 2", "---\nrepeats: 2", 11, ["expected a single document"]),
    (
        "an alias",
        "{A: 1}",
        "&env {A: *env}",
        4,
        ["exp.yaml:4: YAML's anchors and aliases (*name) are not taken: what launches have in common stands in base"],
    ),
    ("a Python object", "{A: 1}", "!!python/object/apply:os.system [ls]", 4, ["tags are not supported"]),
    ("a list tagged as a mapping", "{A: 1}", "!!map x", 4, ["not supported"]),
    ("a key that is no text", "{A: 1}", "{1: 1}", 4, ["launches.eager.env.1: the key is not plain text: quote it"]),
    (
        "two numbers with a comma",
        "{A: 1}",
        "{A: 0,1}",
        4,
        ["launches.eager.env.1: the key is not plain text: a comma ends a value in braces: quote '0,1'"],
    ),
    ("many numbers with commas", "{A: 1}", "{A: 2, 3,4.5, B: 1}", 4, ["quote '2,3,4.5'"]),
    (
        "spans of numbers with a comma",
        "{A: 1}",
        "{A: 0-1,3-4}",
        4,
        ["env.3-4: null: is not the name of an environment variable; a value with a comma in it stands in quotes"],
    ),
    ("a control character", "How fast?", '"\\e[31m"', 1, ["control characters are not allowed"]),
    ("half a character", "How fast?", '"\\ud800"', 1, ["control characters are not allowed"]),
    ("an escape beyond Unicode", "How fast?", '"\\UFFFFFFFF"', 1, ["stands for no character"]),
]


def test_a_secret_that_a_comma_has_cut_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "exp.yaml"
    path.write_text(BASE.replace("{A: 1}", "{DB_PASSWORD: hidden,12}"))
    with pytest.raises(ExperimentError) as caught:
        load_experiment(path)
    assert "env.12: the key is not plain text: a comma ends a value in braces: quote the whole of it" in str(
        caught.value
    )
    assert "hidden" not in str(caught.value)


def refusal_of(folder: Path, text: str | bytes, name: str = "exp.yaml") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ExperimentError) as caught:
        load_experiment(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("old", "new", "line", "fragments"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_refused_in_one_line_that_names_file_line_key_and_value(tmp_path, old, new, line, fragments):
    assert old in BASE
    message = refusal_of(tmp_path, BASE.replace(old, new, 1))
    assert message.startswith(f"exp.yaml:{line}: ")
    for fragment in fragments:
        assert fragment in message


def test_an_experiment_without_benchmarks_is_refused(tmp_path):
    text = BASE[: BASE.index("  - serve")] + "  []\n"
    assert refusal_of(tmp_path, text).startswith("exp.yaml:5: benchmarks: []: is empty")


def test_a_launch_that_no_benchmark_runs_on_is_refused(tmp_path):
    text = BASE.replace("  eager:", "  idle: {}\n  eager:").replace("batch_size: 1", "batch_size: 1, launches: [eager]")
    text = text.replace("      num_prompts", "      launches: eager\n      num_prompts")
    assert refusal_of(tmp_path, text).startswith("exp.yaml:4: launches.idle: {}: no benchmark runs on this launch")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ExperimentError, match="no such file"):
        load_experiment(tmp_path / "x.yaml")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ExperimentError, match="not a file"):
        load_experiment(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    assert refusal_of(tmp_path, "") == "exp.yaml:1: the file is empty"


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    assert "must be a mapping" in refusal_of(tmp_path, "- a\n")


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path):
    assert refusal_of(tmp_path, b"question: x\nmodel: \xff\xfe") == "exp.yaml:2: not UTF-8 text"
    assert (
        refusal_of(tmp_path, b"question: x\nmodel: \x00")
        == "exp.yaml:2: not valid YAML: character U+0000 is not allowed"
    )


def test_a_file_of_megabytes_is_refused_unread(tmp_path):
    assert "larger than 64 KiB" in refusal_of(tmp_path, BASE + "#" * 10**6)


def test_nesting_and_node_bombs_are_refused(tmp_path):
    assert "nested deeper" in refusal_of(tmp_path, "a: " + "[" * 30_000)
    assert "not an experiment" in refusal_of(tmp_path, "a: [" + "1," * 30_000 + "]")


def test_a_file_whose_name_cannot_name_a_folder_is_refused(tmp_path):
    assert "the file's name must be letters" in refusal_of(tmp_path, BASE, name="my experiment.yaml")


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "hf_token", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "apikey"]
)
def test_a_secret_in_the_environment_is_refused_and_not_shown(tmp_path, name):
    message = refusal_of(tmp_path, BASE.replace("{A: 1}", f"{{{name}: hush-hush}}"))
    assert message.startswith(f"exp.yaml:4: launches.eager.env.{name}: looks like a secret")
    assert "export it in the environment" in message
    assert "hush" not in message


def test_a_secret_deep_in_the_args_is_refused_and_not_shown(tmp_path):
    message = refusal_of(
        tmp_path, BASE.replace("max_model_len: 4096", "hf_overrides: {list: [{access_token: hush-hush}]}")
    )
    assert "args.hf_overrides.list[0].access_token: looks like a secret" in message
    assert "hush" not in message


def test_a_value_shaped_like_a_secret_is_refused_even_in_a_comment(tmp_path):
    message = refusal_of(tmp_path, BASE + "# hf_" + "a1B2" * 8)
    assert message.startswith("exp.yaml:12: looks like a secret")
    assert "a1B2" not in message


@pytest.mark.parametrize("arg", ["max_num_batched_tokens: 8192", "tokenizer: x", "long_prefill_token_threshold: 8"])
def test_an_arg_that_counts_tokens_is_no_secret(tmp_path, arg):
    path = tmp_path / "exp.yaml"
    path.write_text(BASE.replace("max_model_len: 4096", arg))
    assert load_experiment(path).launches[0].args
