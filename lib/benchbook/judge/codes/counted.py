"""Codes of what was asked, sent and counted."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
    Code(
        "requests_failed",
        "invalid",
        "requests ended with an error; vLLM's averages leave them out",
        "read the errors in raw.json and the server's log",
        "one: a mean over the survivors describes another load",
    ),
    Code(
        "nothing_completed",
        "invalid",
        "no request completed; vLLM writes 0.0 for every latency",
        "send one request with 02_first_request",
        "no request completed",
    ),
    Code(
        "value_no_number",
        "invalid",
        "a value of vLLM's result is no finite number: the server counted what cannot be counted",
        "look at the counts in the server's answers; raw.json is there to look at",
        "one value",
    ),
    Code(
        "outputs_short",
        "invalid",
        "answers ended before the asked length: cut streams, which vLLM counts as successes, or an early stop",
        "look for dropped connections; keep ignore_eos",
        "one answer: nothing but a fault makes one shorter than the length asked for, or than the least of a range",
    ),
    Code(
        "asked_not_counted",
        "invalid",
        "requests or tokens counted differ from those asked for: the number is about other work",
        "compare the benchmark's command in the record with the workload",
        "any difference: counts are exact",
    ),
    Code(
        "finish_not_length",
        "suspect",
        "the server ended requests for another reason than their length: stop words, aborts, errors",
        "keep ignore_eos; look for aborted requests in the server's log",
        "one request, by the server's own counters",
    ),
    Code(
        "server_disagrees",
        "suspect",
        "client and server count different requests or tokens: the server had other work, or answers were lost",
        "measure a server that nobody else uses",
        "1 % of the tokens or one request: the counters are exact, but a token may be counted a moment late",
    ),
    Code(
        "lengths_shifted",
        "suspect",
        "the mean length drawn differs from the one asked for: a range ratio has moved the load",
        "state the lengths as drawn, or set range_ratio to 0",
        "2 % beyond three standard errors of drawing from that range",
    ),
    Code(
        "figures_contradict",
        "invalid",
        "figures that are told without a raw file cannot all be true: a negative one, a p99 below its median, an E2EL below "
        "its TTFT, more answers than requests, or rates that are not what was counted over the duration",
        "see the source again for a slip of a column, a unit or a digit; leave the figures out until it is found",
        "1 % of what stands in an order, 10 % and the rounding of products; answers faster than arrivals beyond three "
        "standard errors of chance",
    ),
    Code(
        "figures_hint",
        "note",
        "figures that do not contradict each other, and yet look as if something was the matter: a cold start, a queue that "
        "grew, a first token that was timed late, or gaps that are not those of single tokens",
        "ask for the result request by request (vLLM: --save-detailed), in which it would be seen",
        "a mean TTFT twice its median; 5 % below the rate asked for; in a closed loop a TTFT of nine tenths of E2EL; "
        "medians that make less than two thirds of a median E2EL",
    ),
    Code(
        "read_as",
        "note",
        "a file of another tool was read: what its names and units were taken for, where they are not vLLM's, and what it "
        "does not tell",
        "look at the file itself, which lies in the run, if this is not what it means",
        "any such name; a missing count is named and is not 0",
    ),
)
