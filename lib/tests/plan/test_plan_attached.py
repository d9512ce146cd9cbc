"""A launch may be a server that somebody else runs: its keys, and what is refused beside its address."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.plan.attached import reach_of
from benchbook.plan.experiment import load_experiment
from benchbook.plan.models import TINY, ModelRef
from benchbook.sweep.consent import is_elsewhere, load_texts
from benchbook.sweep.planned_commands import print_commands
from benchbook.terms.attached import Attached, Reach
from benchbook.terms.errors import ExperimentError
from benchbook.terms.wording import listed
from rich.console import Console

FILE = """question: How fast is theirs?
{model}launches:
  prod: {launch}
benchmarks:
  - serve: {{max_concurrency: 1, lengths: [[8, 4]], num_prompts: 4}}
"""


def read(tmp_path: Path, launch: str, model: str = ""):
    path = tmp_path / "theirs.yaml"
    path.write_text(FILE.format(launch=launch, model=model))
    return load_experiment(path)


def test_a_launch_has_an_address_and_how_it_is_reached(tmp_path):
    (tmp_path / "ca.pem").touch()
    keys = "attach: 'https://h/v1', api_key_env: K, model: m, tokenizer: org/m, ca_file: ca.pem, headers_env: {X-A: V}"
    (launch,) = read(tmp_path, f"{{{keys}, behind: [a, b], reset_prefix_cache: true}}").launches
    reach = Reach("K", {"X-A": "V"}, str(tmp_path / "ca.pem"), behind=("a", "b"))
    assert launch.attached == Attached("https://h/v1", "m", "org/m", True, reach)
    assert launch.client_args == {"tokenizer": "org/m"} and launch.model_text == "m"
    assert launch.settings["attach"] == "https://h/v1" and launch.settings["headers_env"] == {"X-A": "V"}
    assert reach.variables == ("K", "V") and reach_of(reach.said) == reach


def test_a_service_has_several_addresses_and_a_notebook_the_others_in_its_reach(tmp_path):
    for said, also in (("[a, 'b:1']", ["b:1"]), ("[a]", []), ("['https://h/v1', '[::1]:8', c]", ["[::1]:8", "c"])):
        (launch,) = read(tmp_path, f"{{attach: {said}, behind: [z]}}").launches
        attached = launch.attached
        assert attached.addresses[1:] == tuple(also) == attached.reach.also and attached.reach.behind == ("z",)
        assert launch.settings["attach"] == (list(attached.addresses) if also else attached.address)
        assert "also" not in launch.settings and reach_of(attached.reach.said) == attached.reach


def test_a_plan_says_of_a_service_that_each_of_its_addresses_gets_its_requests_in_turn(tmp_path, capsys):
    for addresses, is_here in (
        (["http://127.0.0.1:1", "http://[::1]:2"], True),
        (["http://127.0.0.1:1", "http://10.0.0.1:2", "https://h"], False),
        (["http://127.0.0.1:1"], True),
    ):
        said, is_several = ", ".join(f"'{address}'" for address in addresses), len(addresses) > 1
        experiment = read(tmp_path, f"{{attach: [{said}], tokenizer: tiny}}")
        blocks = experiment.planned_rounds()
        ((launch, text),) = load_texts(experiment, blocks)
        assert text.startswith(f"{listed(addresses)}, in turn, get 12 " if is_several else f"{addresses[0]} gets 12 ")
        assert is_elsewhere(launch) is not is_here
        print_commands(Console(width=500), experiment, blocks)
        assert ("to each in turn, which no command line does" in capsys.readouterr().out) is is_several


def test_a_file_of_attached_servers_alone_needs_no_model_and_one_of_both_does(tmp_path):
    assert read(tmp_path, "{attach: h}").model is None
    assert read(tmp_path, "{attach: h}", "model: tiny\n").model == ModelRef(TINY)
    with pytest.raises(ExperimentError, match="model: is missing"):
        read(tmp_path, "{attach: h}\n  own: {}")


@pytest.mark.parametrize(
    ("launch", "why"),
    [
        ("{attach: h, args: {max_num_seqs: 8}}", "args: .* is for a server that is started here"),
        ("{attach: h, env: {A: 1}}", "env: .* is for a server that is started here"),
        ("{attach: h, engine: vllm}", "engine: .* is for a server that is started here"),
        ("{attach: h, api_key: abc}", "did you mean 'api_key_env'"),
        ("{attach: h, api_key_env: ab-c}", "api_key_env: is not the name of an environment variable"),
        ("{attach: h, headers_env: {X-A: b c}}", "headers_env.X-A: is not the name of an environment variable"),
        ("{attach: h, headers_env: {Authorization: B}}", "a key goes into api_key_env"),
        ("{attach: h, headers_env: {'X A': B}}", "no header that can be added"),
        ("{attach: h, ca_file: x, insecure: true}", "give one of them"),
        ("{attach: h, behind: h}", "must be a list, such as behind"),
        ("{attach: }", "must be text, such as attach"),
        ("{attach: h, model: 3}", "write '3'"),
        ("{attach: []}", "must be an address, or a list of those of one service"),
        ("{attach: [h, 8000]}", "must be an address, or a list of those of one service"),
        ("{attach: [h, g, h]}", "h stands there twice"),
        ("{attach: ['h:1', 'http://H:1/v1/']}", "h:1 stands there twice"),
        ("{attach: h, also: [g]}", "unknown key"),
        ("{base_url: h}", "did you mean 'attach'"),
        ("{attach: h, headers: {}}", "did you mean 'headers_env'"),
    ],
)
def test_what_is_wrong_beside_an_address_is_said_at_its_line(tmp_path, launch, why):
    with pytest.raises(ExperimentError, match=f"theirs.yaml:[34]: .*{why}") as refusal:
        read(tmp_path, launch, "model: tiny\n")
    assert "ab-c" not in str(refusal.value) and "b c" not in str(refusal.value)


@pytest.mark.parametrize(
    ("said", "why"), [({"ca_fiel": "x"}, "^reach: ca_fiel.*did you mean 'ca_file'"), ({"insecure": 1}, "insecure")]
)
def test_a_notebook_says_it_in_the_same_keys(said, why):
    with pytest.raises(ExperimentError, match=why):
        reach_of(said)
