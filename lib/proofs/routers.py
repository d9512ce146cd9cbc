"""Is one vLLM measured soundly by whatever way a client comes to it? A sweep of one small case by each way, for real.

    python lib/proofs/routers.py                                  # all that can be had here, some four minutes
    python lib/proofs/routers.py --only direct gathered passed
    python lib/proofs/routers.py --litellm ~/litellm/bin/litellm  # where LiteLLM's proxy is, if not in PATH

`vllm serve` is started as somebody else would start it, on [::1] where this machine has that, and the ways lead to it:
nginx that gathers text, buffers it, or passes it on; TLS by a certificate of one's own; LiteLLM's proxy with and without
the server behind it named; two addresses of one service. What is not installed is skipped with a line. Exits with 0 when
each way's record has the codes that it must have and no other above a note, but for machine_busy. Run it on a quiet
machine: on a busy one a client reads in heaps whatever stands in between, some answers of each way.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchbook.hosts import http
from benchbook.hosts.model.files import resolve_model
from benchbook.hosts.process.ports import reserve_port, url_of
from benchbook.hosts.process.processes import die_with
from benchbook.hosts.way import Way
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.terms.errors import HostStartError
from pairs import ENV, print_table, proof_parser, write_output

KEY, ROUTER_KEY = "KEY_OF_THE_SERVER", "KEY_OF_THE_ROUTER"
READY_LIMIT_S = 180.0
NAME = "tiny"
WORDS = (
    "--served-model-name tiny --enforce-eager --dtype float32 --max-model-len 4096 --gpu-memory-utilization 0.3 "
    "--no-enable-prefix-caching --distributed-executor-backend uni"
).split()  # fmt: skip
CASE = {"serve": {"max_concurrency": 2, "lengths": [[64, 32]], "num_prompts": 40, "num_warmup_prompts": 4}}
TOLERATED = {"machine_busy"}
GATHERED = {"stream_bunched"}  # the code that must speak where text is held back
LIKE_IT = {"server_stalled"}  # what that may look like
NGINX = """worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err; daemon off; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/fast; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream served {{ server {server}; keepalive 32; }}
  proxy_set_header Connection "";
{ways}}}
"""
# What each way of nginx has beside its port. Buffering by itself holds no text back from a client that reads as fast as it
# comes; packing does, unless buffering is off.
NGINX_WAYS = {
    "gathered": "proxy_http_version 1.1; proxy_buffering on; gzip on; gzip_types text/event-stream; gzip_proxied any;",
    "buffered": "proxy_http_version 1.0; proxy_buffering on;",
    "passed": "proxy_http_version 1.1; proxy_buffering off;",
    "tls": "proxy_http_version 1.1; proxy_buffering off; ssl_certificate {folder}/own.pem; ssl_certificate_key {folder}/own.key;",
}


@dataclass
class Ways:
    """The ways to the server at `url`, each with the keys of its launch; `absent` says which there are not, and why."""

    url: str
    folder: Path
    launches: dict[str, dict[str, Any]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, attach: str | list[str], **keys: Any) -> None:
        """Add a launch that is attached to `attach`."""
        self.launches[name] = {"attach": attach, "api_key_env": KEY, "model": NAME, **keys}


@contextmanager
def running(words: Sequence[str], log: Path, **variables: str) -> Iterator[None]:
    """Inside, `words` run, their text in `log`; they end with this process, however that ends."""
    beginning = partial(die_with, os.getpid())
    with log.open("wb") as text:
        process = subprocess.Popen(
            words, stdout=text, stderr=subprocess.STDOUT, env={**os.environ, **variables}, preexec_fn=beginning
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, log: Path, key: str = "") -> None:
    """Return once /v1/models answers there; end the program with the log's end where it does not in three minutes."""
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if http.get(url, "/v1/models", timeout_s=10, way=Way(key, is_insecure=True))[0] == 200:
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"nothing answers at {url}:\n{log.read_text(errors='replace')[-2000:]}")


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now."""
    with reserve_port(host) as reservation:
        return reservation.getsockname()[1]


def start_server(stack: ExitStack, folder: Path) -> Ways:
    """Start `vllm serve` as by hand and return the first way to it."""
    try:
        host, port = "::1", free_port("::1")
    except HostStartError as error:
        print(f"direct: not by IPv6, for {error}")
        host, port = "127.0.0.1", free_port()
    vllm = str(Path(sys.executable).with_name("vllm"))
    words = [vllm, "serve", resolve_model(NAME).path, "--host", host, "--port", str(port), *WORDS]
    variables = {**ENV, "VLLM_API_KEY": os.environ[KEY], "HF_HUB_OFFLINE": "1"}
    stack.enter_context(running(words, folder / "vllm.log", **{name: str(value) for name, value in variables.items()}))
    ways = Ways(url_of(host, port), folder)
    wait_for(ways.url, folder / "vllm.log", os.environ[KEY])
    ways.add("direct", ways.url)
    return ways


def add_nginx(stack: ExitStack, ways: Ways) -> None:
    """Add the ways by nginx, and the service of two addresses, one of which is the server's own."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if not program:
        ways.absent |= dict.fromkeys((*NGINX_WAYS, "both"), "nginx is not installed")
        return
    wanted = dict(NGINX_WAYS)
    if not make_certificates(ways.folder):
        ways.absent["tls"] = "openssl, which makes the certificate, is not installed"
        del wanted["tls"]
    ports = {name: free_port() for name in wanted}
    served = [
        f"  server {{ listen 127.0.0.1:{ports[name]}{' ssl' * (name == 'tls')}; {keys.replace('{folder}', str(ways.folder))} "
        "location / { proxy_pass http://served; } }\n"
        for name, keys in wanted.items()
    ]
    path = ways.folder / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""  # who may read the folder
    server = ways.url.removeprefix("http://")
    path.write_text(NGINX.format(folder=ways.folder, user=user, server=server, ways="".join(served)))
    log = ways.folder / "nginx.log"
    stack.enter_context(running([program, "-c", str(path)], log))
    for name, port in ports.items():
        scheme = "https" if name == "tls" else "http"
        url = f"{scheme}://localhost:{port}" if name == "tls" else f"{scheme}://127.0.0.1:{port}"
        wait_for(url, log, os.environ[KEY])
        ways.add(name, url, behind=[ways.url], **({"ca_file": str(ways.folder / "ca.pem")} if name == "tls" else {}))
    ways.add("both", [ways.url, ways.launches["passed"]["attach"]], behind=[ways.url])


def make_certificates(folder: Path) -> bool:
    """Make an authority of one's own, ca.pem, and what it signed for localhost, own.pem; return whether openssl is here."""
    if not shutil.which("openssl"):
        return False
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for words in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=own -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout own.key -out own.csr",
        "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out own.pem",
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    return True


def add_litellm(stack: ExitStack, ways: Ways, program: str | None) -> None:
    """Add the ways by LiteLLM's proxy: with the server behind it named, and without."""
    names = ("litellm", "litellm_alone")
    if not program:
        ways.absent |= dict.fromkeys(
            names, "LiteLLM's proxy is not installed (pip install 'litellm[proxy]'; --litellm PATH)"
        )
        return
    # As `openai`, and not as `hosted_vllm`, which asks a completion as a chat.
    params = {"model": f"openai/{NAME}", "api_base": f"{ways.url}/v1", "api_key": f"os.environ/{KEY}"}
    path, port, log = ways.folder / "litellm.yaml", free_port(), ways.folder / "litellm.log"
    path.write_text(json.dumps({"model_list": [{"model_name": NAME, "litellm_params": params}]}))  # which is YAML too
    words = [program, "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
    variables = {
        "LITELLM_MASTER_KEY": os.environ[ROUTER_KEY],
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }  # not from the web
    stack.enter_context(running(words, log, **variables))
    url = f"http://127.0.0.1:{port}"
    wait_for(url, log, os.environ[ROUTER_KEY])
    for name, behind in zip(names, ([ways.url], [])):
        ways.add(name, url, api_key_env=ROUTER_KEY, tokenizer=NAME, behind=behind)


def swept(ways: Ways, only: Sequence[str]) -> dict[str, Record]:
    """Run the experiment of these ways as a user does, and return each one's record."""
    launches = {name: keys for name, keys in ways.launches.items() if not only or name in only}
    file = ways.folder / "routers.yaml"
    experiment = {"question": "What does it cost to come by another way?", "launches": launches, "benchmarks": [CASE]}
    file.write_text(json.dumps({**experiment, "repeats": 1, "again": 0}))
    results = ways.folder / "results"
    subprocess.run([sys.executable, "-m", "benchbook", "run", str(file), "--results", str(results)])
    return {record.identity.launch: record for record in Store(results / "routers" / "latest").records()}


def fault(name: str, record: Record) -> str:
    """Return what of a record is not as it must be; '' where all is."""
    if not record.is_measured:
        return f"not measured: {record.outcome}"
    found = {reason.code for reason in record.reasons if reason.severity != "note"}
    wanted, allowed = (GATHERED, TOLERATED | LIKE_IT) if name == "gathered" else (set(), TOLERATED)
    said = [f"{code} is missing" for code in sorted(wanted - found)]
    return "; ".join(said + [f"{code} speaks" for code in sorted(found - wanted - allowed)])


def rows_of(records: Mapping[str, Record], faults: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return a row for each way: verdict, codes above a note, TTFT and ITL, what was counted, how much was not looked at."""
    return [
        (
            name,
            record.verdict or record.outcome,
            ", ".join(reason.code for reason in record.reasons if reason.severity != "note") or "–",
            *(f"{record.values.get(key) or 0:.2f}" for key in ("median_ttft_ms", "median_itl_ms")),
            f"{record.values.get('total_output_tokens') or 0:.0f}",
            str(len(record.not_looked or {})),
            faults[name] or "as it must be",
        )
        for name, record in records.items()
    ]


def main() -> int:
    """Start all, sweep, print a table and write it; return 0 when each way is as it must be."""
    parser: argparse.ArgumentParser = proof_parser(__doc__, "routers")
    parser.add_argument("--only", nargs="*", default=[], metavar="WAY", help="of the ways, these")
    parser.add_argument("--litellm", default=shutil.which("litellm"), help="LiteLLM's program, where it is not in PATH")
    options = parser.parse_args()
    os.environ |= {KEY: f"key-{secrets.token_hex(16)}", ROUTER_KEY: f"sk-{secrets.token_hex(16)}"}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        ways = start_server(stack, Path(folder))
        add_nginx(stack, ways)
        if not options.only or any(name.startswith("litellm") for name in options.only):
            add_litellm(stack, ways, options.litellm)
        for name, why in ways.absent.items():
            print(f"{name}: skipped, {why}", flush=True)
        records = swept(ways, options.only)
    faults = {name: fault(name, record) for name, record in records.items()}
    headings = ("way", "verdict", "codes", "TTFT ms", "ITL ms", "output tokens", "not looked", "")
    print_table(headings, rows_of(records, faults))
    told = {name: json.loads(record.model_dump_json(include={"values", "reasons"})) for name, record in records.items()}
    write_output(options.output, {"faults": faults, "absent": ways.absent, "records": told})
    return 1 if any(faults.values()) or not records else 0


if __name__ == "__main__":
    raise SystemExit(main())
