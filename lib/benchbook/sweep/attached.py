"""Launches that are attached: what of them can be checked without them, and who answers, asked before anything is measured."""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from benchbook.hosts.attached import AttachedServer, attach
from benchbook.hosts.model import hub
from benchbook.hosts.model.files import ModelFiles, resolve_model, tokenizer_sha256
from benchbook.hosts.vllm.tokenizers import args_of, check_here, tokenizer_of
from benchbook.measure.servers import UnderTest, model_card
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.models import EMBEDDED
from benchbook.sweep.preflight import Preflight
from benchbook.terms.attached import Attached
from benchbook.terms.errors import ExperimentError, HostError

_AT_ONCE = 32  # servers


def asked_before(checked: Preflight, wanted: Collection[Launch]) -> Preflight:
    """Return `checked` once each attached server of the `wanted` launches was asked who it is, with where its tokenizer is.

    Nothing but pages is asked for. Raises ExperimentError with all that do not answer as they must, a line each.
    """
    experiment, faults = checked.experiment, checked.experiment.document.faults
    launches = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # one that is silent keeps nobody waiting for the others
        asking = {launch.name: pool.submit(_asked, experiment, launch) for launch in wanted if launch.attached}
        for launch in experiment.launches:
            with faults.noted():
                launches.append(asking[launch.name].result() if launch.name in asking else launch)
    faults.raise_any()
    return replace(checked, experiment=replace(experiment, launches=tuple(launches)))


def server_of(launch: Launch) -> AttachedServer:
    """Return the server of an attached launch, after a look at who answers; raise IdentityError, ExperimentError."""
    attached = launch.attached
    server = attach(attached.address, attached.model, reach=attached.reach)
    server.may_reset = attached.reset_prefix_cache
    return server


def files_of(launch: Launch) -> ModelFiles:
    """Return what a plan knows of the model of an attached launch: its name, and where its tokenizer lies."""
    tokenizer = launch.attached.tokenizer
    return ModelFiles(tokenizer, launch.model_text, False, False, None, needs_download=False)


def _asked(experiment: Experiment, launch: Launch) -> Launch:
    doc, place = experiment.document, ("launches", launch.name, "attach")
    cases = [case.workload for case in experiment.cases if case.launch == launch.name]
    try:
        server = server_of(launch)
        server.check_alive()
        model = model_card(server)
        longest = max((workload.max_request_tokens for workload in cases), default=0)
        if model.max_model_len and longest > model.max_model_len:
            raise ExperimentError(
                f"a request of {longest} tokens (input + output) exceeds the server's max_model_len {model.max_model_len}"
            )
        if not any(workload.row.is_load for workload in cases):
            return launch
        tokenizer = _tokenizer_here(launch.attached, server, model)
    except (HostError, ExperimentError) as error:
        raise doc.error(place, str(error)) from error
    return replace(launch, attached=replace(launch.attached, tokenizer=tokenizer))


def _tokenizer_here(attached: Attached, server: AttachedServer, model: UnderTest) -> str:
    """Return the tokenizer that cuts prompts for the server, a folder or a hub id; raise ExperimentError without one here."""
    if attached.tokenizer in EMBEDDED:
        return resolve_model(attached.tokenizer).path
    tokenizer = attached.tokenizer or tokenizer_of(args_of(server.argv), model.root)[0]
    if not os.path.isdir(tokenizer):
        try:
            check_here(tokenizer)
        except ExperimentError:
            here = "which is not on this machine: write `tokenizer:`, a folder here, or a hub id, that has the same one"
            raise ExperimentError(f"the tokenizer of this server lies in {tokenizer!r}, {here}") from None
        if tokenizer_sha256(tokenizer) is None and (why := hub.why_not(tokenizer, None, server.hub_env, {})):
            raise ExperimentError(f"its tokenizer {tokenizer} {why}; or write `tokenizer:`, a folder that has it")
    return tokenizer
