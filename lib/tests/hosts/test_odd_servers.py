"""Servers that answer oddly and do no harm: they are measured with less known, and what nobody could see is said."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading

import pytest
from benchbook.hosts import http as http_module
from benchbook.hosts.attached import attach
from benchbook.hosts.cards import cards_of, named
from benchbook.hosts.engines import VLLM
from benchbook.hosts.process.logs import tells
from benchbook.hosts.process.ports import reserve_port
from benchbook.hosts.process.shell import certificates
from benchbook.hosts.scrape import engine_tokens, parse_counters
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.measure.first_request import first_request
from benchbook.measure.serve import bench_serve
from benchbook.measure.servers import model_card, open_server
from benchbook.plan.workloads import FirstRequestWorkload, ServeWorkload
from benchbook.records.handover import Handover
from benchbook.report.repeat.host_tables import server_table
from benchbook.terms.errors import BenchbookError, ExperimentError, HostDiedError, HostStartError, IdentityError
from integration.sweeps import FAKE_PACKAGE
from odd_server import NAME, odd_server
from rows import IS_FULL

# A warm-up is a benchmark more, in a process of its own: each server has it in `make test-full`.
WORKLOAD = ServeWorkload(
    input_len_tokens=5,
    output_len_tokens=6,
    max_concurrency=2,
    num_prompts=6,
    num_warmup_prompts=None if IS_FULL else 0,
)
COUNTED = {"server_disagrees", "finish_not_length", "preempted", "cache_warm", "server_restarted"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(FAKE_PACKAGE))
    monkeypatch.setenv("BENCHBOOK_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def benchmark(tmp_path, fake_model):
    """Return a function that measures the server at an address with the fake client, and returns its record."""

    def measure(url, model="", **options):
        options = {"tokenizer": fake_model, **options}
        server = open_server(url, model)
        return bench_serve(server, WORKLOAD, record_path=tmp_path / "case" / "record.json", **options).record

    return measure


# ---- who it is
def test_a_server_is_asked_once_a_repeat_who_it_is_and_once_when_it_is_attached(benchmark, monkeypatch):
    asked, get = [], http_module.get
    monkeypatch.setattr(http_module, "get", lambda url, path, **how: asked.append(path) or get(url, path, **how))
    with odd_server() as url:
        record = benchmark(url)
    assert record.host.version == "0.32.0" and record.host.max_model_len == 4096
    assert (asked.count("/v1/models"), asked.count("/version")) == (2, 2)


# ---- routers and gateways
@pytest.mark.parametrize(("odd", "model"), [("router", ""), ("router", NAME), ("gateway", NAME)])
def test_what_answers_is_measured_though_it_has_neither_version_nor_metrics_nor_health(benchmark, odd, model):
    with odd_server(odd) as url:
        record = benchmark(url, model)
    assert record.outcome == "measured" and record.values["completed"] == 6
    assert record.host.version is None and record.host.model == NAME
    assert set(record.not_looked) >= COUNTED
    assert "/metrics answered 404" in record.not_looked["server_disagrees"]
    assert "not ours" in record.not_looked["compiled_while_measuring"]
    assert "/metrics answered 404" in record.host.telemetry.absent["server"]


@pytest.mark.parametrize(("odd", "unknown"), [("no_version", "version"), ("no_health", "")])
def test_what_a_page_that_is_missing_tells_is_all_that_is_not_known(benchmark, odd, unknown):
    with odd_server(odd) as url:
        record = benchmark(url)
    assert record.outcome == "measured" and record.values["completed"] == 6
    assert not COUNTED & set(record.not_looked), "the counters are there"
    assert (record.host.version is None) == (unknown == "version")


def test_a_gateway_that_lists_no_models_wants_the_name_of_one():
    with odd_server("gateway") as url, pytest.raises(IdentityError, match="name the model if it does not list any"):
        attach(url)


def test_a_table_of_a_server_that_tells_little_shows_what_there_is(capsys):
    for odd in ("router", "gateway", "adapter"):
        with odd_server(odd) as url:
            server_table(attach(url, NAME))


def test_a_server_that_says_itself_that_it_is_dead_is_dead_and_one_without_health_is_not():
    with odd_server("router") as url:
        attach(url).check_alive()
    with odd_server("health_500") as url, pytest.raises(HostDiedError, match="answered 500"):
        attach(url).check_alive()


@pytest.mark.parametrize(
    "odd",
    [
        "metrics_malformed",
        "metrics_html",
        "metrics_404",
        "metrics_reset",
        "metrics_401",
        "metrics_empty",
        "metrics_of_another",
    ],
)
def test_a_page_of_metrics_that_is_odd_costs_no_number(benchmark, odd):
    with odd_server(odd) as url:
        record = benchmark(url)
    assert record.outcome == "measured" and record.values["output_throughput_tok_s"] > 0
    assert not [reason for reason in record.reasons if reason.code == "watching_failed"]


# ---- files elsewhere, adapters
def test_a_tokenizer_that_is_not_here_is_asked_for_in_one_sentence(benchmark):
    for root in ("/models/llama", "/" + "x" * 300, "a/b/c/d", "~/models/x"):
        with odd_server(root=root) as url, pytest.raises(ExperimentError, match="^[^\n]*the parameter `tokenizer`"):
            benchmark(url, tokenizer="")
        with odd_server(root=root) as url:
            record = benchmark(url)
        assert record.is_measured and "not on this machine" in record.not_looked["random_weights"]


def test_a_first_request_needs_no_files_of_the_model(tmp_path):
    for root in ("/models/llama", "/" + "x" * 300, "a/b/c/d"):
        with odd_server(root=root) as url:
            workload = FirstRequestWorkload(max_tokens=6)
            record = first_request(open_server(url), workload, record_path=tmp_path / "record.json").record
        assert record.verdict == "VALID" and record.host.config is None


def test_an_adapter_is_measured_with_the_tokenizer_of_its_own_model_and_the_record_names_both(benchmark, fake_model):
    with odd_server("adapter", fake_model) as url:
        record = benchmark(url, "sql", tokenizer="")
        assert model_card(attach(url, NAME)).adapter is None
    words = dict(zip(record.argv, record.argv[1:], strict=False))
    assert words["--tokenizer"] == fake_model and words["--served-model-name"] == "sql"
    assert (record.host.model, record.host.adapter) == (NAME, "sql")


@pytest.mark.parametrize(
    "listing",
    [None, [], {}, {"data": None}, {"data": {}}, {"data": []}, {"data": [5]}, {"data": [{}]}, {"data": [{"id": 5}]},
     {"data": [{"id": "a\nb"}]}, {"data": [{"id": "x" * 5000}]}],
)  # fmt: skip
def test_what_lists_no_models_is_refused(listing):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        cards_of(listing)


@pytest.mark.parametrize(("root", "length"), [(5, "many"), ("a\0b", -1), ("x" * 5000, True), ("", 1e300)])
def test_what_a_card_says_beside_its_name_counts_in_its_proper_form_only(root, length):
    (card,) = cards_of({"data": [{"id": "m", "root": root, "max_model_len": length, "parent": []}]})
    assert (card.root, card.max_model_len, card.parent) == (None, None, None)


def test_a_thousand_names_are_not_all_said():
    assert named([str(number) for number in range(1000)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more"


# ---- several engines
def test_several_engines_are_said_with_what_each_gave_and_the_fullest_cache(benchmark):
    with odd_server("two_engines") as url:
        record = benchmark(url)
        assert parse_counters(attach(url).metrics_text(), COUNTERS)["kv_use_ratio"] == 0.6
    (note,) = [reason for reason in record.reasons if reason.code == "several_engines"]
    assert "engine 1: 0; 1 of them gave none" in note.evidence and note.severity == "note"


@pytest.mark.parametrize(
    "shares",
    [(0.6, 0.6), (0.2, 0.9), (0.0, 0.5, 0.1), (1.0,) * 8, (0.95, 0.0, 0.0, 0.94), (0.0, 0.0), (0.01, 0.02) * 8],
    ids=str,
)
def test_shares_are_those_of_the_fullest_engine_and_counts_are_sums(shares):
    page = "".join(
        f'vllm:kv_cache_usage_perc{{engine="{n}"}} {share}\nvllm:generation_tokens_total{{engine="{n}"}} 10\n'
        for n, share in enumerate(shares)
    )
    values = parse_counters(page, COUNTERS)
    assert values["kv_use_ratio"] == max(shares)
    assert values["generation_tokens"] == 10 * len(shares)
    assert engine_tokens(page, COUNTERS) == {str(number): 10.0 for number in range(len(shares))}


@pytest.mark.parametrize("rest", ["{{{ 1", '{b="c} 1', "", " NaN", " " + "9" * 400, "_and_more 3", "<html>"])
def test_a_line_that_is_no_metric_costs_no_other(rest):
    line = COUNTERS.names["prompt_tokens"] + rest
    assert parse_counters(f"{line}\n{COUNTERS.names['preemptions']} 5\n{line}\n", COUNTERS) == {"preemptions": 5.0}


# ---- certificates
@pytest.fixture
def certificate(tmp_path):
    """Return a file with a certificate for 127.0.0.1, signed by itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    path = tmp_path / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*command, *more], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "cert.pem").read_text())
    return path


def test_a_certificate_signed_by_itself_has_a_way_out_that_the_refusal_names(certificate, monkeypatch, tmp_path):
    with odd_server(certificate=str(certificate)) as url:
        with pytest.raises(IdentityError, match=r"CERTIFICATE_VERIFY_FAILED.*; set SSL_CERT_FILE to a file with"):
            attach(url)
        with pytest.raises(IdentityError, match="no vLLM server answers"):
            attach(url.replace("https", "http"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name, raising=False)
        assert certificates() == dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(tmp_path / "cert.pem"))
        assert attach(url).served_name == NAME


def test_tls_to_a_server_that_speaks_none_says_what_to_write():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(IdentityError, match="write http:// if the server speaks no TLS"):
            attach(f"https://127.0.0.1:{server.server_port}")
        server.shutdown()


# ---- logs that tell nothing
@pytest.mark.parametrize(
    ("text", "tell"),
    [
        ("(APIServer pid=7) INFO 11-26 17:30:32 [utils.py:88] hello\n", True),
        ("INFO:     127.0.0.1:4 - \"POST /v1/completions HTTP/1.1\" 200 OK\n", False),
        ("WARNING 11-26 17:30:32 [x.py:1] Triton kernel JIT compilation during inference: _fwd.\n", False),
        ('{"level": "INFO", "time": "11-26"}\n', False),
        ("", False),
    ],
)  # fmt: skip
def test_a_log_without_a_line_of_vllm_at_level_info_is_silent(tmp_path, text, tell):
    path = tmp_path / "server.log"
    path.write_text(text)
    assert tells(path, VLLM.log.telling) is tell


# ---- what collects, what is no address
def test_an_answer_that_came_in_one_heap_is_suspect_as_a_first_request_too(tmp_path):
    with odd_server("in_one_heap") as url:
        workload = FirstRequestWorkload(max_tokens=6)
        record = first_request(open_server(url), workload, record_path=tmp_path / "record.json").record
    assert [reason.code for reason in record.reasons] == ["stream_bunched"]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("unix:///tmp/s.sock", "no way to a unix socket"),
        ("http+unix://%2Ftmp%2Fs.sock", "no way to a unix socket"),
        ("unix:/tmp/s.sock", "no way to a unix socket"),
        ("/tmp/s.sock", "no way to a unix socket"),
        ("./s.sock", "no way to a unix socket"),
        ("http:/127.0.0.1:8123", "its beginning is cut"),
        ("http//127.0.0.1:8123", "its beginning is cut"),
        ("http://user:word@host:8000", "a key goes into OPENAI_API_KEY"),
        ("http://host:8000/?x=1", "no path can stand"),
        ("https://host/v1?api_key=word-of-three", "no path can stand"),
        ("http://host:abc/?token=word", "Port could not be cast"),
        ("http://host:99999", "Port out of range"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_in_one_line(address, why):
    with pytest.raises(ExperimentError, match=why) as refusal:
        open_server(address)
    assert "\n" not in str(refusal.value) and "word" not in str(refusal.value)


def test_a_host_name_that_can_be_none_is_an_error_of_ours():
    for address in ("http://a..b:1", f"http://{'x' * 100}.example:1"):
        with pytest.raises(BenchbookError, match=r"^[^\n]+$"):
            open_server(address)


def test_a_server_that_answers_slowly_for_ever_is_given_up_after_the_limit_of_its_repeat(tmp_path):
    limits = Handover(limit_s=1.0, stall_limit_s=60.0)
    with odd_server("stream_dripped") as url, pytest.raises(BenchbookError, match="within 1 s"):
        first_request(open_server(url), FirstRequestWorkload(), record_path=tmp_path / "r.json", repeat=limits)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
def test_an_address_that_this_machine_does_not_have_is_an_error_of_ours_in_one_line(host):
    with pytest.raises(HostStartError, match=f"^no server can listen on {host}: [^\n]*is it one of this machine"):
        reserve_port(host)
