"""Conditions: was the server, the client or the machine short of something while it was measured?

What is read here was watched by measure/watched.py; without it (an attached server, a plain command line) a check is
silent.
"""

from __future__ import annotations

from benchbook.judge.attached import traffic_of_others
from benchbook.judge.batch import most_in_step
from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured, kv_usage_pct
from benchbook.judge.kv_cache import sequences_held
from benchbook.records.record import Reason
from benchbook.records.settings import settings_of
from benchbook.terms.asked import held_in_flight
from benchbook.terms.wording import counted

FULL_KV_PCT = 99.0
MAX_CLIENT_CPU = 0.90  # of one core: the client's event loop is one thread
MAX_CEILING_SHARE = (
    0.50  # of the chunks a second that it reads from a server that does nothing: where no core was watched
)
MAX_LOOP_LAG_MS = 25.0  # median; the pace of a token is of that order
MAX_LAG_OF_TTFT, MIN_LOOP_LAG_MS = 0.25, 3.0  # of the median TTFT; so late is a timer of a busy loop anyway
MAX_OTHER_CPU = 0.15  # of the processor time used
MAX_STOLEN = 0.05  # of the processor time wanted: by as much longer does all take that computes
BUSY_FROM, BUSY_AT = (
    0.5,
    0.9,
)  # of the processors: from where on ours begin to wait for others, and where they surely do
SPARE_FILES = 100  # beside one for each connection: a client that waits for its first request holds some 50
MAX_PORT_SHARE = 0.5
MIN_PADDING = 1.25  # of the requests in a step: so many more its CUDA graph is made for


def preempted(measured: Measured) -> Reason | None:
    """Suspect when the server's counter of preemptions grew."""
    number = measured.host.counters.get("preemptions") or 0.0
    return reason("preempted", f"{number:.0f} preemptions while measuring") if number else None


def kv_exhausted(measured: Measured) -> Reason | None:
    """Suspect when the KV cache was full, or cannot hold what is asked to be in flight at once."""
    usage_pct = kv_usage_pct(measured) or 0.0
    if usage_pct >= FULL_KV_PCT:
        return reason("kv_exhausted", f"the server told of {usage_pct:.1f} % KV cache usage while measuring")
    requests, tokens = held_in_flight(measured), measured.asked.tokens_each
    held = sequences_held(measured.host, tokens) if requests and tokens else None
    if held is None or requests <= held:
        return None
    return reason(
        "kv_exhausted", f"{requests} requests of {tokens:,} tokens are in flight, the KV cache holds {held:.1f} of them"
    )


def max_num_seqs_low(measured: Measured) -> Reason | None:
    """Suspect when vLLM runs fewer requests at once than a closed loop, or a batch of latency mode, holds in flight.

    As many as the command says, else as many as vLLM allows by itself on this device. In an open loop no number in
    flight is asked for: a queue there is what the rate makes of the server.
    """
    asked = held_in_flight(measured)
    most = most_in_step(measured.host, measured.machine) if measured.host.argv else None
    if asked is None or most is None:
        return None
    settings = settings_of(measured.host)
    at_once = most * (settings.replicas or 1)
    if at_once >= asked:
        return None
    whose = settings.most_running_name
    if not settings.most_running:
        whose = f"{measured.host.engine or 'the engine'}'s own {whose} on this device"
    waiting = measured.host.telemetry.server.mean_waiting
    seen = f"; {waiting:.1f} waited in the server's queue on average" if waiting is not None else ""
    return reason("max_num_seqs_low", f"{whose} lets {at_once} of {asked} requests in flight run at once{seen}")


def steps_padded(measured: Measured) -> Reason | None:
    """Note that a step of as many requests as are in flight runs as the CUDA graph of many more.

    Each request has one token in such a step; with tokens that are guessed ahead it has more, and nothing is said.
    """
    requests, settings = held_in_flight(measured), settings_of(measured.host)
    sizes = measured.host.facts.graph_sizes or ()
    size = next((size for size in sizes if requests and size >= requests), None)
    if size is None or size < MIN_PADDING * requests or settings.speculation or (settings.replicas or 1) > 1:
        return None
    below = max((each for each in sizes if each < requests), default=None)
    between = f"none lies between {below} and {size}" if below else f"{size} is the smallest"
    return reason("steps_padded", f"a step of {requests} requests runs as the CUDA graph of {size}: {between}")


def client_saturated(measured: Measured) -> Reason | None:
    """Suspect when the client had no processor left, or reads hardly faster from a server that does nothing.

    The ceiling was found in one read after another, several chunks in each; it speaks only where the client's own
    processor time is not known.
    """
    client = measured.conditions.client
    cpu, lag_ms = client.cpu_cores, client.loop_lag_median_ms
    rate, ceiling = client.chunks_per_s, client.ceiling_chunks_per_s
    said = []
    if cpu is not None and cpu >= MAX_CLIENT_CPU:
        said.append(f"it used {cpu:.2f} of one core")
    if cpu is None and rate and ceiling and rate >= MAX_CEILING_SHARE * ceiling:
        said.append(f"it read {rate:,.0f} chunks a second, its ceiling is {ceiling:,.0f}")
    ttft_ms = measured.value("median_ttft_ms") or MAX_LOOP_LAG_MS / MAX_LAG_OF_TTFT
    if lag_ms is not None and lag_ms >= min(MAX_LOOP_LAG_MS, max(MIN_LOOP_LAG_MS, MAX_LAG_OF_TTFT * ttft_ms)):
        beside = f", with a median TTFT of {ttft_ms:.1f} ms" if lag_ms < MAX_LOOP_LAG_MS else ""
        said.append(f"its event loop was {lag_ms:.1f} ms late (median){beside}")
    return reason("client_saturated", "the client: " + "; ".join(said)) if said else None


def machine_busy(measured: Measured) -> Reason | None:
    """Suspect when processes that are neither host, client nor notebook took processors that these had use for.

    So does the host of a virtual machine that gives their time to another one. Where half of the processors are free,
    nobody takes them from anybody: a few dozen busy ones do no harm to a GPU's server that needs four of 128, and much
    to an engine that computes on all of them.
    """
    machine = measured.conditions.machine
    shares = machine.other_cpu_share, machine.own_cpu_share, machine.stolen_cpu_share
    other, own, stolen = (share or 0.0 for share in shares)
    if stolen > MAX_STOLEN * (own + other + stolen):
        return reason(
            "machine_busy",
            f"the host of this virtual machine took {stolen / (own + other + stolen):.0%} of the processor time wanted "
            "here for others (steal)",
        )
    if not other:
        return None
    crowded = min(1.0, max(0.0, (other + own - BUSY_FROM) / (BUSY_AT - BUSY_FROM)))
    if crowded * other / (other + own) <= MAX_OTHER_CPU:
        return None
    return reason("machine_busy", f"other processes used {other:.0%} of {machine.cpus} processors, ours {own:.0%}")


def neighbours_slow(measured: Measured) -> Reason | None:
    """Suspect when others ran at once at other places, and the trial before the run found that they cost too much."""
    place = measured.host.place
    found = place.neighbours if place and place.at_once > 1 else None
    if found is None or found.cost is None or found.limit is None or found.cost <= found.limit:
        return None
    who = counted(found.beside, "neighbour")
    return reason("neighbours_slow", f"{who} cost {found.cost_text}, and {100 * found.limit:g} % are allowed")


def limits_low(measured: Measured) -> Reason | None:
    """Suspect when open files or ports hardly suffice for the connections of the load."""
    limits = measured.conditions.limits
    connections = min(filter(None, (measured.cap, measured.asked.requests)), default=None)
    if not measured.is_of_requests or connections is None:
        return None
    files, ports = limits.open_files, limits.ports
    if files is not None and files < connections + SPARE_FILES:
        return reason("limits_low", f"{files} files may be open, up to {connections} connections are")
    if ports is not None and connections > MAX_PORT_SHARE * ports:
        return reason("limits_low", f"there are {ports} ports for up to {connections} connections")
    return None


def server_restarted(measured: Measured) -> Reason | None:
    """Invalid when a counter of the server was lower after measuring than before."""
    back = measured.conditions.counters_went_back
    return reason("server_restarted", f"{', '.join(back[:3])} went back") if back else None


def finish_not_length(measured: Measured) -> Reason | None:
    """Suspect when the server ended requests for another reason than the asked length."""
    others = {
        name.removeprefix("requests_ended_by_"): count
        for name, count in measured.host.counters.items()
        if name.startswith("requests_ended_by_") and count and name != "requests_ended_by_length"
    }
    if not measured.is_of_requests or measured.asked.ends_by != "length" or not others:
        return None
    said = ", ".join(f"{count:.0f} by {name}" for name, count in sorted(others.items()))
    return reason("finish_not_length", f"requests ended: {said}; all were to end by length")


def server_disagrees(measured: Measured) -> Reason | None:
    """Suspect when the server counted other requests or tokens than the client."""
    counters = measured.host.counters
    if not measured.is_of_requests or not counters or measured.value("failed") or traffic_of_others(measured):
        return None  # what others sent is said by itself
    finished = [count for name, count in counters.items() if name.startswith("requests_ended")]
    rows = [
        ("requests", measured.value("completed"), sum(finished) if finished else None, 0.0),
        ("prompt tokens", measured.value("total_input_tokens"), counters.get("prompt_tokens"), 0.01),
        ("output tokens", measured.value("total_output_tokens"), counters.get("generation_tokens"), 0.01),
    ]
    apart = [
        f"{what}: client {client:,.0f}, server {server:,.0f}"
        for what, client, server, slack in rows
        if client is not None and server is not None and abs(client - server) > slack * client
    ]
    return reason("server_disagrees", "; ".join(apart)) if apart else None


def several_engines(measured: Measured) -> Reason | None:
    """Note that several engines stand behind the server, and how many tokens each gave."""
    tokens = measured.conditions.engine_tokens or {}
    if len(tokens) < 2:
        return None
    idle = [number for number, count in tokens.items() if count <= 0]
    share = f"; {len(idle)} of them gave none" if idle and len(idle) < len(tokens) else ""
    said = ", ".join(f"engine {number}: {count:,.0f}" for number, count in sorted(tokens.items()))
    return reason("several_engines", f"{len(tokens)} engines, output tokens of each: {said}{share}")


def start_not_proven(measured: Measured) -> Reason | None:
    """Disbelieve a host that took over what others make anew, unless that is proven to give the same numbers there."""
    facts = measured.host.facts
    if not facts.taken_over or facts.proven_equal:
        return None
    return reason("start_not_proven", f"it took over from an earlier start: {facts.taken_over}")


def watching_failed(measured: Measured) -> Reason | None:
    """Suspect when something that watched the measurement raised: checks that need it are silent."""
    errors = measured.conditions.watching_errors
    return reason("watching_failed", "; ".join(errors)) if errors else None


CHECKS: tuple[Check, ...] = (
    server_disagrees,
    finish_not_length,
    preempted,
    kv_exhausted,
    max_num_seqs_low,
    steps_padded,
    client_saturated,
    machine_busy,
    neighbours_slow,
    limits_low,
    several_engines,
    server_restarted,
    start_not_proven,
    watching_failed,
)
