"""What was watched while measuring, as a record keeps it, so that checks can tell whether the number is the server's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from benchbook.records.typed import Items, Number, Part, Whole


class Client(Part):
    """What the benchmark's client noted of itself."""

    cpu_cores: Number | None = None
    chunks_per_s: Number | None = None
    ceiling_chunks_per_s: Number | None = None
    loop_lag_median_ms: Number | None = None
    loop_lag_max_ms: Number | None = None
    counts_beside: Whole | None = (
        None  # chunks that told the counts of tokens beside text, where vLLM's client does not look
    )
    textless_ends: Whole | None = None  # chunks that ended an answer and had no text
    cut_answers: Items[Annotated[tuple[int, int], Field(strict=False)]] | None = (
        None  # tokens asked for, tokens that came
    )


class Sent(Part):
    """What of frozen requests was sent, as the client noted it; request by request in a file beside the record."""

    sha256: str | None = None  # of the requests that the client read
    rate_rps: Number | None = None  # at which requests left a client that tells it and nothing of each of them
    late_p99_ms: Number | None = None  # behind the recorded times, measured from the most punctual request
    sent_tokens: Whole | None = None  # of the prompts that the server counted, by the client's tokenizer
    counted_tokens: Whole | None = None  # of the same prompts, by the server: with its chat template
    uncounted: Whole | None = None  # requests that were answered without a count
    least_cached_tokens: Whole | None = None  # of all prompts, by design in the server's prefix cache, in whole blocks
    most_cached_tokens: Whole | None = None  # where all that was ever sent is there as well
    histories_cut: Whole | None = None  # turns that were sent without the beginning of their conversation
    conversations_at_once: Number | None = None  # on average, from first turn to last answer
    median_ttft_by_turn_ms: Items[Number | None] | None = None


class Processors(Part):
    """Who used the processors, as shares of all of them."""

    cpus: Number | None = None  # a container may have half of one
    own_cpu_share: Number | None = None
    other_cpu_share: Number | None = None
    stolen_cpu_share: Number | None = None


class ProcessLimits(Part):
    """What the client's process was allowed."""

    open_files: int | None = None
    ports: int | None = None


class Network(Part):
    """The way to a server of somebody else: a TCP round trip (ms, median) before the measurement and after it."""

    before_ms: Number | None = None
    after_ms: Number | None = None

    @property
    def round_trip_ms(self) -> float | None:
        """The longer of the two; None where neither came about."""
        return max(filter(None, (self.before_ms, self.after_ms)), default=None)


class Precision(Part):
    """The half-widths of 95 % intervals as shares of their metrics: those asked for, and those of this very repeat."""

    asked: dict[str, Number] = {}
    reached: dict[str, Number | None] = {}


class Conditions(Part):
    """What was watched while measuring. What is None or empty nobody could see."""

    client: Client = Client()
    sent: Sent = Sent()
    machine: Processors = Processors()
    network: Network = Network()
    limits: ProcessLimits = ProcessLimits()
    counters_went_back: Items[str] = ()
    engine_tokens: dict[str, Number] | None = None
    compile_lines: Items[str] | None = None
    kv_usage_max_pct: Number | None = None
    warmup_prompts: Whole | None = None
    earlier_requests: Number | None = None  # of this server, before this measurement
    precision: Precision = Precision()
    unseen: dict[str, str] = {}  # what could not be watched, and why
    watching_errors: Items[str] = ()


UNWATCHED = Conditions()
