"""The GPUs of a run: held from before its first start to its end, or refused with who is on them and which are free."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from benchbook.hosts.machine.card_locks import CardTakenError, hold, holder_of
from benchbook.hosts.machine.devices import Device, cards_of, every_card
from benchbook.hosts.machine.gpu import every_process, is_leaving, listed
from benchbook.plan.launches import Launch
from benchbook.sweep.placing import cards_in, places_of
from benchbook.sweep.preflight import Preflight
from benchbook.terms.errors import ExperimentError
from benchbook.visible import CUDA, HIP

_SHARE = "`run --share-gpu`, which makes what is measured SUSPECT"


def hold_cards(checked: Preflight, who: str, share_gpu: bool) -> list[str]:
    """Hold the GPUs of all launches until this process ends, and return notes on what could not be done.

    Raises ExperimentError, with who is there and which GPUs are free, for one that is taken; not with `share_gpu`.
    """
    has_locks = True
    for launch, cards in _on_cards(checked):
        try:
            has_locks = hold(cards, who, share=share_gpu) and has_locks
        except CardTakenError as taken:
            raise _refusal(checked, launch, cards, str(taken)) from None
        if not share_gpu:
            _check_strangers(checked, launch, cards)
    if has_locks:
        return []
    return ["The state folder lies where nothing can be locked: start no second benchbook on these GPUs."]


def check_free(checked: Preflight) -> None:
    """Raise ExperimentError as `hold_cards` would now, and hold nothing."""
    for launch, cards in _on_cards(checked):
        for card in cards:
            if holder := holder_of(card):
                raise _refusal(checked, launch, cards, str(CardTakenError(card, holder)))
        _check_strangers(checked, launch, cards)


def _on_cards(checked: Preflight) -> Iterator[tuple[Launch, list[Device]]]:
    """Yield each launch that takes GPUs, with them; of several on the same ones the first, since a look takes seconds."""
    if cards := cards_in(places_of(checked.experiment)):
        yield checked.experiment.launches[0], cards
        return
    seen: set[frozenset[str]] = set()
    for launch in checked.experiment.launches if checked.experiment.device != "cpu" else ():
        cards = [] if launch.attached else cards_of(launch.args, launch.env, checked.python_of(launch))
        names = frozenset(card.key for card in cards)
        if cards and names not in seen:
            seen.add(names)
            yield launch, cards


def _check_strangers(checked: Preflight, launch: Launch, cards: list[Device]) -> None:
    """Raise ExperimentError where somebody else's process is on one of the cards."""
    uuids = {card.names[-1] for card in cards}
    found = [process for process in every_process() or () if process.gpu_uuid in uuids]
    strangers = [process for process in found if not is_leaving(process.pid)]
    if strangers:
        on = [card.title for card in cards if card.names[-1] in {process.gpu_uuid for process in strangers}]
        raise _refusal(checked, launch, cards, f"{' and '.join(on)} is used by {listed(strangers)}")


def _refusal(checked: Preflight, launch: Launch, cards: Collection[Device], problem: str) -> ExperimentError:
    return checked.experiment.document.error(("launches", launch.name), f"{problem}; {_way_out(launch, len(cards))}")


def _way_out(launch: Launch, number: int) -> str:
    """Return which GPUs are free, with the line that names so many of them, or what else can be done."""
    there = every_card()
    busy = {process.gpu_uuid for process in every_process() or ()}
    free = [card for card in there if card.names[-1] not in busy and holder_of(card) is None]
    if len(free) < number:
        return f"wait for its end, end it (`benchbook ps` lists yours), or share it: {_SHARE}"
    variable = next((name for name in (CUDA, HIP) if name in launch.env), CUDA if free[0].kind == "cuda" else HIP)
    line = f"{variable}={','.join(card.names[0] for card in free[:number])}"
    where = f"in the env of launch {launch.name!r}" if variable in launch.env else "before the command"
    others = " and ".join(card.title for card in free)
    return f"free {'is' if len(free) == 1 else 'are'} {others}: write {line} {where}, or share it: {_SHARE}"
