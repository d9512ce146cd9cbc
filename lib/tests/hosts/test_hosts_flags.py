"""What a vLLM knows is read from its source, kept by version, and read again when the source has changed."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from benchbook.hosts.vllm import flags
from benchbook.hosts.vllm.switches import on_or_off, spelt_switch

SOURCES = {
    "engine/arg_utils.py": """
class EngineArgs:
    model: str = ""
    not_a_flag: int = 0
    def add_cli_args(parser):
        group = parser.add_argument_group("--not-a-flag-either")
        group.add_argument("--max-model-len", "-mml", **kwargs["max_model_len"])
        print("--mentioned-only")
class AsyncEngineArgs(EngineArgs):
    def add_cli_args(parser):
        parser.add_argument("--enable-log-requests")
class Other:
    def add_cli_args(parser):
        parser.add_argument("--of-another")
""",
    "entrypoints/openai/cli_args.py": """
class FrontendArgs:
    ssl_keyfile: str = ""
def make_arg_parser(parser):
    parser.add_argument("--headless")
""",
    "envs.py": """
environment_variables: dict = {"VLLM_PORT": lambda: 1, "VLLM_HOST_IP": env_with_choices("VLLM_HOST_IP", None, ["a", "b"])}
other: dict = {"VLLM_NOT": 1}
""",
    "config/compilation.py": """
class CompilationConfig:
    mode: int = None
    cudagraph_mode: str = field(default=None)
    compile_time: float = field(default=0.0, init=False)
    _hidden: int = 0
""",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a small vLLM in source, with an empty cache beside it."""
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
    for name, text in SOURCES.items():
        path = tmp_path / "vllm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "vllm"


def test_flags_variables_and_options_are_those_that_are_declared_and_no_others(package: Path) -> None:
    there = flags.read_known(package, "0.26.0")
    assert there.engine_flags == {"--max-model-len"}
    assert there.server_flags == {"--ssl-keyfile", "--headless", "--enable-log-requests"}
    assert there.variables == {"VLLM_PORT", "VLLM_HOST_IP"}
    assert (there.values_of("VLLM_HOST_IP"), there.values_of("VLLM_PORT")) == (["a", "b"], [])
    assert there.compilation_options == {"mode", "cudagraph_mode"}


def test_the_second_look_reads_no_source_until_the_source_changes(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = flags._cached(package, "0.26.0")
    with monkeypatch.context() as patch:
        patch.setattr(flags, "read_known", lambda *_: pytest.fail("the source was read again"))
        assert flags._cached(package, "0.26.0") == first
    (package / "envs.py").write_text("environment_variables: dict = {'VLLM_NEW': 1}\n")
    assert flags._cached(package, "0.26.0").variables == {"VLLM_NEW"}


def test_a_cut_file_in_the_cache_is_read_anew(package: Path, tmp_path: Path) -> None:
    first = flags._cached(package, "0.26.0")
    (kept,) = (tmp_path / "cache").glob("known-*.json")
    kept.write_text(kept.read_text()[:50])
    assert flags._cached(package, "0.26.0") == first


@pytest.mark.skipif(not find_spec("vllm"), reason="the known flags are those of the installed vLLM")
def test_the_installed_vllm_is_known() -> None:
    there = flags.known()
    assert len(there.engine_flags) >= 100 and len(there.variables) >= 100 and len(there.variable_values) >= 20
    assert {"--max-model-len", "--enforce-eager", "--compilation-config"} <= there.engine_flags
    assert {"--api-key", "--enable-log-requests", "--headless"} <= there.server_flags
    assert {"VLLM_CPU_KVCACHE_SPACE", "VLLM_ROCM_USE_AITER"} <= there.variables
    assert {"cudagraph_mode", "mode"} <= there.compilation_options
    assert "full_cuda_graph" not in there.compilation_options


def test_variables_that_are_named_as_vllms_and_are_none_of_its_own_are_listed_for_the_record(monkeypatch) -> None:
    there = flags.Known("0.32.0", frozenset(), frozenset(), frozenset({"VLLM_PORT"}), frozenset())
    monkeypatch.setattr(flags, "known", lambda *_: there)
    assert flags.unknown_variables(["VLLM_PORT", "VLLM_SPYRE_USE_CB", "HF_HOME", "VLLM_A"]) == [
        "VLLM_A",
        "VLLM_SPYRE_USE_CB",
    ]
    monkeypatch.setattr(flags, "known", lambda *_: None)
    assert flags.unknown_variables(["VLLM_A"]) == []


def test_what_was_kept_by_a_benchbook_that_reads_otherwise_is_not_taken(
    package: Path, tmp_path: Path, monkeypatch
) -> None:
    flags._cached(package, "0.26.0")
    monkeypatch.setattr(flags, "__file__", str(package / "envs.py"))
    flags._cached(package, "0.26.0")
    assert len(list((tmp_path / "cache").glob("known-*.json"))) == 2


def installed_envs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return vLLM's own module of variables, without the rest of vLLM around it."""
    path = Path(find_spec("vllm").origin).parent / "envs.py"
    spec = spec_from_file_location("envs_alone", path)
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    torch = SimpleNamespace(is_torch_equal_or_newer=lambda version: True)
    monkeypatch.setitem(sys.modules, "vllm.utils.torch_utils", torch)
    spec.loader.exec_module(module)
    return module


def test_what_of_the_installed_vllms_variables_must_be_a_number_is_one_that_vllm_makes_of_them(monkeypatch) -> None:
    there = flags.known()
    if there is None or not there.variable_numbers:
        pytest.skip("no vLLM is installed")
    module = installed_envs(monkeypatch)
    for name, _, kind in sorted(text.partition("=") for text in there.variable_numbers):
        assert kind == there.number_of(name) and kind in ("int", "float", "switch")
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            assert module.environment_variables[name]() is not None
            patch.setenv(name, "1G")
            with pytest.raises(ValueError):
                module.environment_variables[name]()
    assert {"VLLM_CPU_KVCACHE_SPACE=int", "VLLM_PORT=int"} <= there.variable_numbers
    assert not there.number_of("VLLM_LOGGING_LEVEL")


ON, OFF = ("1", "true", "True", "TRUE", "yes", "on", "On"), ("0", "false", "False", "no", "off", "OFF")


def test_every_switch_of_the_installed_vllm_is_on_or_off_in_it_as_it_is_meant(monkeypatch) -> None:
    there = flags.known()
    if there is None:
        pytest.skip("no vLLM is installed")
    module = installed_envs(monkeypatch)
    compared = {pair.partition("=")[0] for pair in there.variable_switches}
    switches = sorted(name for name in there.variables if there.on_words(name))
    assert len(compared) >= 40 and len(switches) >= 100 and compared < set(switches)
    for name in switches:
        words, is_number = there.on_words(name), name not in compared
        for text in (*ON, *OFF):
            with monkeypatch.context() as patch:
                off_words = there.off_words(name)
                patch.setenv(name, spelt_switch(text, words, is_number=is_number, off_words=off_words))
                assert module.environment_variables[name]() is not None, (name, text)
                assert bool(module.environment_variables[name]()) == on_or_off(text), (name, text)
                patch.setenv(name, text)
                kept = is_number or bool(module.environment_variables[name]()) == on_or_off(text)
                assert not kept or is_number or off_words or spelt_switch(text, words, is_number=False) == text, (
                    name,
                    text,
                )


def test_no_switch_of_the_installed_vllm_is_overlooked(monkeypatch) -> None:
    there = flags.known()
    if there is None:
        pytest.skip("no vLLM is installed")
    module = installed_envs(monkeypatch)
    overlooked = []
    for name in sorted(there.variables - {"VLLM_RUST_FRONTEND_PATH"}):
        answers = []
        for text in ("0", "1", "maybe"):
            with monkeypatch.context() as patch:
                patch.setenv(name, text)
                try:
                    answers.append(module.environment_variables[name]())
                except (ValueError, OSError):
                    answers.append(None)
        are_switched = answers[0] is False and answers[1] is True and not answers[2]
        if are_switched and not there.on_words(name):
            overlooked.append(name)
    assert overlooked == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('lambda: os.getenv("VLLM_A", "0") == "1"', ["1"]),
        ('lambda: os.environ.get("VLLM_A", "").strip().lower() in ("1", "true")', ["1", "TRUE", "True", "true"]),
        ('lambda: (os.getenv("VLLM_A") or "0") in ["yes"]', ["yes"]),
        ("asked", ["on"]),
        ('lambda: {"1": True, "0": False}.get(os.getenv("VLLM_A", "").strip())', ["1"]),
        ('lambda: {"1": True, "0": False}.get(os.getenv("VLLM_B", "").strip())', []),
        ('lambda: os.getenv("VLLM_A", "") == "cuda"', []),
        ('lambda: os.getenv("VLLM_B", "") == "1"', []),
        ('lambda: os.getenv("VLLM_A", "0") != "0"', []),
        ('lambda: os.getenv("VLLM_A")', []),
    ],
)
def test_the_words_for_on_are_those_that_the_source_compares_with(package: Path, source: str, words: list) -> None:
    asked = 'def asked():\n    return os.environ["VLLM_A"] == "on"\n'
    (package / "envs.py").write_text(f'{asked}environment_variables: dict = {{"VLLM_A": {source}}}\n')
    assert flags.read_known(package, "0.32.0").on_words("VLLM_A") == words


@pytest.mark.parametrize(
    ("source", "off_words", "in_any_case", "are_several"),
    [
        ('lambda: {"yes": True, "no": False}.get(os.getenv("VLLM_A"))', ["no"], False, False),
        ('env_with_choices("VLLM_A", None, ["a", "B"])', [], False, False),
        ('env_with_choices("VLLM_A", None, ["a", "B"], case_sensitive=True)', [], False, False),
        ('env_with_choices("VLLM_A", None, ["a", "B"], case_sensitive=False)', [], True, False),
        ('env_set_with_choices("VLLM_A", [], ["a", "B"], case_sensitive=False)', [], True, True),
        ('env_list_with_choices("VLLM_A", [], ["a", "B"])', [], False, True),
    ],
)
def test_how_the_source_reads_what_a_variable_lists_is_known(
    package: Path, source: str, off_words: list, in_any_case: bool, are_several: bool
) -> None:
    (package / "envs.py").write_text(f'environment_variables: dict = {{"VLLM_A": {source}}}\n')
    there = flags.read_known(package, "0.32.0")
    assert there.off_words("VLLM_A") == off_words
    assert ("VLLM_A" in there.any_case, "VLLM_A" in there.comma_lists) == (in_any_case, are_several)


def test_every_value_of_the_installed_vllms_variables_is_taken_in_the_cases_that_are_known(monkeypatch) -> None:
    there = flags.known()
    if there is None:
        pytest.skip("no vLLM is installed")
    module = installed_envs(monkeypatch)
    pairs = [pair.partition("=") for pair in sorted(there.variable_values)]
    assert len(pairs) >= 20 and there.any_case
    for name, _, value in pairs:
        for text in {value, value.upper(), value.lower()}:
            with monkeypatch.context() as patch:
                patch.setenv(name, text)
                if text in there.values_of(name) or name in there.any_case:
                    module.environment_variables[name]()
                else:
                    with pytest.raises(ValueError):
                        module.environment_variables[name]()
