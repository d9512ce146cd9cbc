"""What checks live from, as far as a measurement has it: each function returns '' where it is there, else why it is not."""

from __future__ import annotations

from collections.abc import Callable

from benchbook.judge.batch import LEAST, most_in_step
from benchbook.judge.evidence import Measured, counted_experts, kv_cache_tokens, kv_usage_pct
from benchbook.judge.kv_cache import sequences_held
from benchbook.records.conditions import Client, ProcessLimits, Processors
from benchbook.records.host import Neighbours
from benchbook.terms.asked import asked_in_flight, held_in_flight

Evidence = Callable[[Measured], str]
SILENT_LOG = "the log tells nothing of it"


def completions(measured: Measured) -> str:
    """How many requests completed."""
    return "the number of completed requests is not told" if measured.count("completed") is None else ""


def failures(measured: Measured) -> str:
    """How many requests failed, as counted or as what is missing of those that were sent."""
    is_told = measured.count("failed") is not None or not completions(measured) and measured.asked.requests
    return "" if is_told else "the number of failed requests is not told"


def requests(measured: Measured) -> str:
    """Single requests, with their times."""
    is_told = measured.answers or not measured.value("completed")
    return "" if is_told else "the raw file does not tell of single requests"


def lengths(measured: Measured) -> str:
    """How long each answer is."""
    is_told = measured.raw.get("output_lens") or not measured.value("completed")
    return "" if is_told else "the raw file does not tell how long each answer is"


def drawn_lengths(measured: Measured) -> str:
    """How long each answer was to be, where not all are alike."""
    is_fixed = measured.asked.varies_by == 0
    is_told = measured.conditions.client.cut_answers is not None
    return "" if is_fixed or is_told else "the client did not note how long each answer was to be"


def chunks(measured: Measured) -> str:
    """When each chunk came."""
    is_told = measured.raw.get("itls") or not measured.value("completed")
    return "" if is_told else "the raw file does not tell when each chunk came"


def latencies(measured: Measured) -> str:
    """The client's own latency of each request, which vLLM 0.26 does not write."""
    is_told = measured.raw.get("latencies") or not measured.value("completed")
    return "" if is_told else "the raw file does not tell the latency of each request"


def queues(measured: Measured) -> str:
    """How long requests waited in the client."""
    return (
        "" if measured.raw.get("queue_times") else "the raw file does not tell how long requests waited in the client"
    )


def half_widths(measured: Measured) -> str:
    """How well the latencies that `precision` names are known."""
    widths = measured.conditions.precision.reached or {None: None}
    return "too few requests tell their latency" if None in widths.values() else ""


def iterations(measured: Measured) -> str:
    """Single iterations of latency mode."""
    return "" if measured.raw.get("latencies") else "the raw file does not tell of single iterations"


def usage(measured: Measured) -> str:
    """The server's count of an answer's tokens."""
    is_told = (measured.raw.get("usage") or {}).get("completion_tokens") is not None
    return "" if is_told else "the server did not count the answer's tokens"


def firsts(measured: Measured) -> str:
    """What came first: requests, or iterations."""
    return iterations(measured) if measured.is_of_iterations else requests(measured)


def counted(*names: str) -> Evidence:
    """Return the evidence of the server's counters of these names, of which one is enough."""

    def evidence(measured: Measured) -> str:
        counters = measured.host.counters
        if any(counter.startswith(name) for counter in counters for name in names):
            return ""
        return _unseen(measured, "counters", f"the server does not count {names[0]}")

    return evidence


def engines(measured: Measured) -> str:
    """How many tokens each engine gave."""
    is_told = measured.conditions.engine_tokens is not None
    return "" if is_told else _unseen(measured, "counters", "the server does not tell of its engines")


def log(measured: Measured) -> str:
    """The log of the server or engine."""
    is_told = measured.conditions.compile_lines is not None
    return _unseen(measured, "log", "" if is_told else SILENT_LOG)


def kv_cache(measured: Measured) -> str:
    """How full the KV cache was, or could become."""
    if kv_usage_pct(measured) is not None:
        return ""
    if not held_in_flight(measured) or not kv_cache_tokens(measured.host):
        return _unseen(measured, "log", SILENT_LOG)
    return "" if measured.asked.tokens_each else "how long requests are is not known beforehand"


def preemptions(measured: Measured) -> str:
    """Whether requests were thrown out, or could not be."""
    if measured.row.host_kind == "server":
        return counted("preemptions")(measured)
    requests, tokens = asked_in_flight(measured), measured.asked.tokens_each
    held = sequences_held(measured.host, tokens) if tokens else None
    if requests and held is not None and requests <= held:
        return ""
    return "an engine in a process counts nothing that could be read"


def client(measured: Measured) -> str:
    """The client's notes of its work."""
    return "" if measured.conditions.client != Client() else "the client left no notes of its work"


def sent_hash(measured: Measured) -> str:
    """Which requests the client sent, by its own hash of them."""
    return "" if measured.conditions.sent.sha256 else "nobody noted which requests the client sent"


def prompt_counts(measured: Measured) -> str:
    """How many tokens the server counted in the prompts that were sent."""
    return "" if measured.conditions.sent.counted_tokens else "nobody noted how many tokens the server counted"


def recorded_times(measured: Measured) -> str:
    """How requests kept to their recorded times."""
    return "" if measured.conditions.sent.late_p99_ms is not None else "nobody noted when requests were due"


def histories(measured: Measured) -> str:
    """Whether turns were sent with all that was said before."""
    return "" if measured.conditions.sent.histories_cut is not None else "nobody noted what turns were sent with"


def cached_by_design(measured: Measured) -> str:
    """What of the prompts was to be in the prefix cache."""
    is_told = measured.conditions.sent.least_cached_tokens is not None
    return "" if is_told else "nobody noted how much of the prompts was to be in the prefix cache"


def machine(measured: Measured) -> str:
    """Who used the processors."""
    is_told = measured.conditions.machine != Processors()
    return _unseen(measured, "machine", "" if is_told else "nobody watched the processors")


def neighbours(measured: Measured) -> str:
    """What neighbours cost, known on one side of what is allowed."""
    found = measured.host.place.neighbours if measured.host.place else Neighbours()
    if not found.cost_text or found.limit is None:
        return found.why_not or "what neighbours cost was not measured"
    may_be_too_much = found.cost <= found.limit < found.high
    return f"neighbours cost {found.cost_text}, which may be too much" if may_be_too_much else ""


def limits(measured: Measured) -> str:
    """The limits of files and ports."""
    return "" if measured.conditions.limits != ProcessLimits() else "nobody looked at the limits of files and ports"


def warm_up(measured: Measured) -> str:
    """How the host was warmed up."""
    is_told = measured.conditions.warmup_prompts is not None
    return "" if is_told else "nobody noted how it was warmed up"


def command(measured: Measured) -> str:
    """The host's command."""
    return "" if measured.host.argv else "the host's command is not known"


def seats(measured: Measured) -> str:
    """How many sequences vLLM runs at once, where more are asked for than it allows on every device."""
    asked = held_in_flight(measured)
    if why := command(measured):
        return why
    is_known = asked is None or asked <= LEAST or most_in_step(measured.host, measured.machine) is not None
    return "" if is_known else "how many sequences vLLM runs at once by itself on this device is not known"


def graph_sizes(measured: Measured) -> str:
    """Which steps have a CUDA graph."""
    return _unseen(measured, "log", SILENT_LOG) if measured.host.facts.graph_sizes is None else ""


def files(measured: Measured) -> str:
    """The model's files."""
    is_known = measured.host.config is not None or measured.host.random_weights
    return "" if is_known else "the model's files are not on this machine"


def answers(measured: Measured) -> str:
    """Answers to fixed prompts, or counted experts."""
    is_told = measured.host.greedy_outputs or counted_experts(measured.host)
    return "" if is_told else "nobody asked the model fixed prompts, or counted the experts that a step reads"


def gpu(measured: Measured) -> str:
    """Samples of the GPUs, where there are any."""
    telemetry = measured.host.telemetry
    if telemetry.gpus is None:
        return _unseen(measured, "gpu", "no samples were kept")
    is_void = any(gpu.samples == 0 for gpu in telemetry.gpus)
    return _unseen(measured, "gpu", "no sample fell into the window" if is_void else "")


def clocks(measured: Measured) -> str:
    """The highest clock of each GPU."""
    gpus = measured.host.telemetry.gpus or ()
    return (
        "the driver does not tell a card's highest clock" if any(not gpu.highest_sm_clock_mhz for gpu in gpus) else ""
    )


def gpu_processes(measured: Measured) -> str:
    """Who is on the GPUs."""
    telemetry = measured.host.telemetry
    is_hidden = telemetry.gpus and not telemetry.gpu_processes
    return "the driver shows no process on the GPU, not even ours" if is_hidden else ""


def _unseen(measured: Measured, source: str, otherwise: str) -> str:
    """Return why a source could not be watched, as noted while measuring; `otherwise` where nothing was noted."""
    return measured.conditions.unseen.get(source, otherwise)
