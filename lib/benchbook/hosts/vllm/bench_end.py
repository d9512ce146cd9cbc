"""An end by the clock for `vllm bench serve`, in a process that has it imported: its command line knows none.

Sending, timing and counting stay vLLM's.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from unittest import mock


@contextlib.contextmanager
def ending_after(limit_s: float) -> Iterator[None]:
    """Inside, `vllm bench serve` sends no request of a closed loop once `limit_s` have passed since its first.

    Those under way then are answered, timed and counted; those that were never sent stand nowhere in its result. To be
    called where `why_not_ending` is ''.
    """
    from vllm.benchmarks import serve

    benchmark = serve.benchmark

    async def acting(*args: Any, **options: Any) -> Any:
        loop = _ClosedLoop(options["max_concurrency"], limit_s)
        around = {backend: loop.around(function) for backend, function in serve.ASYNC_REQUEST_FUNCS.items()}
        with (
            mock.patch.object(serve, "get_request", loop.until_its_end(serve.get_request)),
            mock.patch.dict(serve.ASYNC_REQUEST_FUNCS, around),
        ):
            return await benchmark(*args, **options)

    with mock.patch.object(serve, "benchmark", acting):
        yield


def why_not_ending() -> str:
    """Return what of vLLM's client is not where `ending_after` looks for it; '' where all of it is."""
    try:
        from vllm.benchmarks import serve

        is_there = {
            "get_request": inspect.isasyncgenfunction(serve.get_request),
            "ASYNC_REQUEST_FUNCS": bool(serve.ASYNC_REQUEST_FUNCS),
            "max_concurrency": "max_concurrency" in inspect.signature(serve.benchmark).parameters,
        }
    except (ImportError, AttributeError, TypeError) as error:
        return f"vLLM's internals have moved: {error!r}"
    missing = [name for name, is_so in is_there.items() if not is_so]
    return f"vLLM's internals have moved: no {', '.join(missing)}" if missing else ""


class _ClosedLoop:
    """Requests handed to vLLM's client one by one, each when one before it is answered, until the time is over.

    vLLM itself would make a task of each at once, and have them wait for their turns.
    """

    def __init__(self, at_once: int, limit_s: float) -> None:
        self._seats, self._limit_s = asyncio.Semaphore(at_once), limit_s
        self._under_way: set[str] = set()  # without vLLM's own, by which it sees whether the server answers

    def until_its_end(self, get_request: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        """Return what is called in place of vLLM's `get_request`."""

        async def until_the_end(*args: Any, **options: Any) -> AsyncIterator[Any]:
            ends_s = None
            async for request, *rate in get_request(*args, **options):
                await self._seats.acquire()
                now_s = time.perf_counter()
                ends_s = now_s + self._limit_s if ends_s is None else ends_s
                if now_s >= ends_s:
                    return
                self._under_way.add(request.request_id)
                yield request, *rate

        return until_the_end

    def around(self, request_func: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a request function that leaves its seat once its request is answered."""

        async def send(request_func_input: Any, *args: Any, **options: Any) -> Any:
            try:
                return await request_func(request_func_input, *args, **options)
            finally:
                if request_func_input.request_id in self._under_way:
                    self._under_way.remove(request_func_input.request_id)
                    self._seats.release()

        return send
