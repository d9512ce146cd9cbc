"""What a sweep measures on: a live host behind a launch, and what a notebook must be told to use it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from threading import Thread
from typing import Any, Protocol

from benchbook.hosts.attached import AttachedServer
from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.engines import VLLM, engine_named, engine_of
from benchbook.hosts.face import Engine, StartupFacts
from benchbook.hosts.machine.devices import cards_of, naming
from benchbook.hosts.machine.gpu import wait_device_free
from benchbook.hosts.machine.topology import links_among
from benchbook.hosts.model.files import ModelFiles, commit_of, resolve_model
from benchbook.hosts.process.pythons import HERE
from benchbook.hosts.process.shell import no_proxy
from benchbook.hosts.server import VllmServer
from benchbook.hosts.way import USUAL_KEYS
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.environments import environment_facts
from benchbook.measure.hardware import model_config, peaks_before_start
from benchbook.measure.outputs import fixed_prompts, greedy_outputs
from benchbook.measure.servers import AnyServer, host_facts, silence_is_death
from benchbook.notebooks.execute import wait_loaded
from benchbook.notebooks.kernels.source import make_ready
from benchbook.plan.launches import Launch
from benchbook.ranks import num_devices
from benchbook.records.host import HostFacts
from benchbook.records.provenance import utc_now
from benchbook.records.store import Store
from benchbook.sweep.attached import server_of
from benchbook.terms.attached import Reach
from benchbook.terms.errors import HostStartError, MeasureError
from benchbook.terms.sent_beside import NUM_ALONE, NUM_PROMPTS


class BenchHost(Protocol):
    """A ready host: its facts for records, and the parameters and environment that let a notebook reach it."""

    facts: HostFacts
    parameters: Mapping[str, Any]
    plumbing: Mapping[str, Any]  # what no reader of the notebook needs: fields of Handover
    env: Mapping[str, str]
    warmed: dict[str, str]  # what it was warmed up for, and by which repeat; it begins empty with each start

    def check_alive(self) -> None:
        """Raise HostDiedError, with its cause, when the host is no longer there."""

    def mend(self) -> None:
        """Start again what the host is measured with and has died; where that fails, the next repeat tells."""


@dataclass(frozen=True)
class _Host:
    facts: HostFacts
    parameters: Mapping[str, Any]
    plumbing: Mapping[str, Any]
    env: Mapping[str, str]
    check_alive: Callable[[], None]
    client: WarmClient | None = None
    warmed: dict[str, str] = field(default_factory=dict)

    def mend(self) -> None:
        """Start the client again where it has died."""
        with suppress(HostStartError):
            if self.client:
                self.client.ensure()


OpenHost = Callable[[Launch, str, Store, float], AbstractContextManager[BenchHost]]  # ..., ready_timeout_s


def host_opener(
    share_gpu: bool = False, compares_launches: bool = False, make_server: Callable[..., VllmServer] = VllmServer
) -> OpenHost:
    """Return what opens a host for a sweep. Unless `share_gpu`, a GPU that others use is refused.

    A server, of the class or from what `make_server` is, first answers fixed prompts: a model that answers all alike is
    seen by eight; with `compares_launches` they are 32, and a change of its outputs is seen.
    """
    ending: list[Thread] = []
    num_prompts = NUM_PROMPTS if compares_launches else NUM_ALONE

    @contextmanager
    def open_host(launch: Launch, kind: str, store: Store, ready_timeout_s: float) -> Iterator[BenchHost]:
        while ending:  # one device holds one host
            ending.pop().join()
        if launch.attached:
            with _open_attached(launch, store, num_prompts) as host:
                yield host
            return
        env, number = naming(launch.args, launch.env), num_devices(launch.args)
        wait_device_free(share_gpu=share_gpu, env=env, number=number)
        files = resolve_model(launch.model.path_or_id, launch.args, launch.env)
        counted = _counted(files, launch, store)
        opened = (
            _open_server(launch, store, ready_timeout_s, num_prompts, counted, make_server)
            if kind == "server"
            else _open_engine(launch, store, ready_timeout_s, counted)
        )
        with ExitStack() as stack:
            yield stack.enter_context(opened)
            # What has served its time ends by itself: no report waits for it, and the interpreter does at its end.
            ending.append(Thread(target=stack.pop_all().close, name=f"end {launch.name} {kind}"))
            ending[-1].start()

    return open_host


def _counted(files: ModelFiles, launch: Launch, store: Store) -> HostFacts:
    """Return what is known of the model's routing, and how long counting took (s) where it was done for this start."""
    engine = engine_of(launch)
    if known := engine.known_routing(files, launch.args):
        return HostFacts.of(routing=known)
    began_s = time.monotonic()
    found = engine.routing(files, launch.args, launch.env, store.launch_dir(launch.name).resolve())
    if not found:
        return HostFacts()
    return HostFacts.of(routing=found, counting_s=round(time.monotonic() - began_s, 3))


@contextmanager
def _open_server(
    launch: Launch,
    store: Store,
    ready_timeout_s: float,
    num_prompts: int,
    counted: HostFacts,
    make_server: Callable[..., VllmServer],
) -> Iterator[BenchHost]:
    folder, serving = store.launch_dir(launch.name).resolve(), engine_of(launch)
    reset = serving.cache_reset
    server = make_server(
        launch.model.path_or_id,
        args=launch.args,
        env=launch.env,
        name=launch.name,
        log_dir=folder,
        ready_timeout_s=ready_timeout_s,
        engine=serving,
    )
    peaks = peaks_before_start(server.model_files.path, launch.env, wait_loaded)
    client = WarmClient(log_dir=folder, env=server.hub_env)
    with ExitStack() as stack:
        # The client imports vLLM, and a kernel gets ready, while the server loads: none of them waits for another.
        stack.callback(server.stop)
        server.start()
        stack.callback(client.stop)
        client.ensure()
        make_ready()
        server.wait_ready()
        with silence_is_death(server):  # of one that a first prompt killed
            answered = _answered(server, num_prompts, made_words=server.model_files.random_weights)
            facts = host_facts(server)
        known = (
            _known(server.facts, peaks=peaks, links=_links(launch, serving))
            .with_those_of(counted)
            .with_those_of(answered)
        )
        yield _Host(
            facts.with_those_of(known),
            {
                "base_url": server.base_url,
                "model": server.served_name,
                "reset_prefix_cache": bool(reset and reset.is_offered(launch.env)),
            },
            {"client_socket": client.socket_path},
            {"OPENAI_API_KEY": server.api_key, **no_proxy()},
            server.check_alive,
            client,
        )


@contextmanager
def _open_attached(launch: Launch, store: Store, num_prompts: int) -> Iterator[BenchHost]:
    """Yield a server that somebody else runs: it is asked, and nothing of it is started, emptied unasked, or ended."""
    server = server_of(launch)
    reach = launch.attached.reach
    make_ready()
    with WarmClient(
        log_dir=store.launch_dir(launch.name).resolve(), env={**server.hub_env, **server.way.trusted}
    ) as client:
        with silence_is_death(server):
            facts = host_facts(server).with_those_of(HostFacts.of(ready_utc=server.started_utc))
            answered = _answered(server, num_prompts, made_words=bool(facts.random_weights))
        yield _Host(
            facts.with_those_of(answered),
            {
                "base_url": server.base_url,
                "model": server.served_name,
                "reach": reach.said,
                "tokenizer": launch.attached.tokenizer,
                "reset_prefix_cache": launch.attached.reset_prefix_cache,
            },
            {"client_socket": client.socket_path},
            {**_variables(reach), **_past_proxies(server)},
            server.check_alive,
            client,
        )


def _variables(reach: Reach) -> dict[str, str]:
    """Return the variables of this process by which a notebook's kernel reaches a server as it does."""
    names = (*reach.variables, *(() if reach.api_key_env else USUAL_KEYS))
    return {name: os.environ[name] for name in names if name in os.environ}


def _past_proxies(server: AttachedServer) -> dict[str, str]:
    return {} if server.way.proxy else no_proxy(server.hostnames)


def _answered(server: AnyServer, num_prompts: int, made_words: bool) -> HostFacts:
    """Return the server's greedy outputs and how many prompts differ; none when it would not answer: measuring says why."""
    prompts = fixed_prompts(made_words)[:num_prompts]
    try:
        return HostFacts.of(greedy_outputs=greedy_outputs(server, prompts), distinct_prompts=len(set(prompts)))
    except MeasureError:
        return HostFacts.of(greedy_outputs=())


@contextmanager
def _open_engine(launch: Launch, store: Store, ready_timeout_s: float, counted: HostFacts) -> Iterator[BenchHost]:
    serving = engine_named(VLLM.name, launch.python)
    engine = VllmEngine(
        launch.model.path_or_id,
        args=launch.args,
        env=launch.env,
        name=launch.name,
        log_dir=store.launch_dir(launch.name).resolve(),
        ready_timeout_s=ready_timeout_s,
        python=launch.python,
    )
    peaks = peaks_before_start(engine.model_files.path, launch.env, wait_loaded)
    with engine:
        facts = _known(
            engine.facts,
            kind="engine",
            engine=VLLM.title,
            model=engine.model_files.name,
            model_commit=commit_of(engine.model_files, launch.args, launch.env),
            random_weights=engine.model_files.random_weights,
            **environment_facts(serving.python),
            argv=engine.argv,
            env=engine.env_overrides,
            unknown_variables=serving.unknown_variables(engine.env_overrides),
            ready_s=engine.ready_s,
            config=model_config(engine.model_files.path, launch.args.get("revision"), launch.env),
            peaks=peaks,
            links=_links(launch, serving),
        ).with_those_of(counted)
        model = launch.model.path_or_id
        reach = {"model": model, "args": dict(launch.args), "env": dict(launch.env), "socket_path": engine.socket_path}
        reach |= {"python": launch.python} if launch.python else {}
        yield _Host(facts, {"model": model}, {"engine": reach}, {}, engine.check_alive)


def _links(launch: Launch, serving: Engine) -> dict[str, str]:
    """Return what links the GPUs of a launch, pair by pair; {} where it takes one or none."""
    several = (num_devices(launch.args) or 1) > 1
    return links_among(cards_of(launch.args, launch.env, serving.python or HERE)) if several else {}


def _known(startup: StartupFacts, **facts: Any) -> HostFacts:
    """Return what records and run.json keep of a host that has just become ready, without secrets."""
    return HostFacts.of(facts=asdict(startup), ready_utc=utc_now(), **facts)
