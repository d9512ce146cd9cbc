"""What a record keeps of the samples of server and GPUs that were taken while it was measured."""

from __future__ import annotations

from benchbook.records.typed import Items, Number, Part, Whole


class ServerSummary(Part):
    """What the samples of a server come to."""

    samples: Whole | None = None
    mean_running: Number | None = None
    mean_waiting: Number | None = None
    max_kv_use_ratio: Number | None = None
    preemptions: Number | None = None


class GpuSummary(Part):
    """What the samples of one GPU come to."""

    index: int
    name: str | None
    samples: Whole | None = None
    energy_j: Number | None = None
    energy_source: str | None = None
    throttled_share: dict[str, Number] = {}
    mean_power_w: Number | None = None
    mean_sm_clock_mhz: Number | None = None
    min_sm_clock_mhz: Number | None = None
    highest_sm_clock_mhz: Number | None = None  # of the card
    free_sm_clock_mhz: Number | None = None  # the median at work, where nothing throttled it
    clocks_set_share: Number | None = None
    strange_memory_gib: Number | None = None  # of no process that the driver lists
    max_temperature_c: Number | None = None
    max_memory_used_gib: Number | None = None
    mean_utilisation_pct: Number | None = None


class GpuProcess(Part):
    """Who computed on a GPU, and when on the clock of the samples."""

    gpu: int
    kind: str  # ours, foreign, idle (foreign, and it computed nothing), unseen
    pid: int
    name: str | None
    busy_pct: Number | None = None  # at most; None: nobody tells
    first_s: Number | None = None
    last_s: Number | None = None
    first_busy_s: Number | None = None
    last_busy_s: Number | None = None


class TelemetrySummary(Part):
    """What a record keeps of its samples."""

    server: ServerSummary = ServerSummary()
    gpus: Items[GpuSummary] | None = None  # None: nobody sampled
    num_gpus: Whole | None = None  # that the launch takes, the first of those it sees
    gpu_processes: Items[GpuProcess] = ()
    energy_j: Number | None = None  # of the GPUs that were used, inside the window
    window_s: Number | None = None  # from the first send to the last token
    window_epoch_s: Items[Number] | None = None  # its edges
    absent: dict[str, str] = {}  # what could not be sampled, and why
    missed_samples: Whole | None = None
    sampler_cpu_s: Number | None = None
