"""Where a record or a run comes from, and what its workload is: the parts that records and run.json have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict  # that of typing has no configuration before 3.12

from benchbook.records.typed import OPEN, Items, Name, Number, Part, Positive, Whole
from benchbook.terms.rates import RATE_WORDS


class Workload(TypedDict, total=False):
    """What a benchmark was asked to do; which of these it has depends on the benchmark."""

    __pydantic_config__ = OPEN
    input_len_tokens: Positive
    output_len_tokens: Positive
    max_concurrency: Positive | None
    request_rate_rps: Annotated[float, Field(gt=0, le=1e9)] | Annotated[str, Field(pattern=RATE_WORDS)] | None
    num_prompts: Positive
    batch_size: Positive
    num_iters: Positive
    num_iters_warmup: Whole
    max_tokens: Positive


class Gpu(Part):
    """One GPU of a machine."""

    name: Name
    memory: str | None = None
    driver: str | None = None


def gpus_text(gpus: Iterable[Gpu]) -> str:
    """Return '4 × NVIDIA H200', kind by kind; '' where there is none."""
    kinds = Counter(gpu.name for gpu in gpus)
    return " + ".join(name if number == 1 else f"{number} × {name}" for name, number in kinds.items())


class MachineFacts(Part):
    """The machine of a run; cores and memory are those that the container around benchbook allows."""

    cpu: str | None = None
    cpu_cores: Number | None = None
    memory_gib: Number | None = None
    gpus: Items[Gpu] = ()
    kernel: str | None = None
    python: str | None = None
    open_files_limit: int | None = None

    @classmethod
    def of(cls, machine: Any) -> MachineFacts:
        """Return the facts that a dataclass with fields of these names has."""
        return cls(**asdict(machine))


class Git(Part):
    """The commit that measured."""

    commit: str | None = None
    dirty: bool | None = None


class Source(Part):
    """The file that figures of others were read from, which lies in the run."""

    file: str | None = None  # in sources/ of the run
    where: str | None = None  # in it: 'line 3'
    sha256: str | None = None
    tool: str | None = None


class Provenance(Part):
    """Where a record or a run comes from."""

    git: Git = Git()
    machine: MachineFacts = MachineFacts()
    packages: dict[str, str] = {}  # versions, by name
    python_executable: str | None = None
    source: Source | None = None  # of what was imported
