"""Codes of the load: was it offered, held and long enough."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
    Code(
        "littles_law",
        "invalid",
        "rate × latency is not the number in flight: duration, rate and latencies contradict each other",
        "keep raw.json; look for failed requests in the means and for a client that was suspended",
        "10 % of the duration and 0.1 s, or 5 % above the concurrency allowed: client overhead stays below that",
    ),
    Code(
        "concurrency_not_reached",
        "suspect",
        "fewer requests were in flight on average than the concurrency says",
        "send more prompts per request in flight; look at the client's load",
        "below 75 % of it: ten prompts each, with start and drain, reach over 85 %",
    ),
    Code(
        "rate_not_reached",
        "suspect",
        "requests were sent more slowly than the rate asked for",
        "raise max_concurrency or leave it out; look at the client's load",
        "2 % below, and what two requests are of all: vLLM scales its random arrivals to the rate asked for",
    ),
    Code(
        "template_tokens",
        "note",
        "the server counted more prompt tokens than were sent: a chat's template is put around each message, and is read too",
        "count it as part of the prompt; compare with loads of the same endpoint",
        "one token: both counts are exact",
    ),
    Code(
        "other_requests_sent",
        "invalid",
        "the client sent other requests than those of the frozen set that it was told to send: the number is of other work",
        "leave the files in the run's folder `requests` as they are; measure again with --new",
        "any difference of the hashes: that of the run's file as the repeat was told it, and the client's own",
    ),
    Code(
        "requests_differ",
        "suspect",
        "launches were sent other requests in the same round, though they send one set: their numbers are of other work",
        "measure both in one run, whose file of the set they share; see whether it was drawn anew between them",
        "any difference of the hashes of what was sent; the second try of a disturbed repeat is sent others on purpose",
    ),
    Code(
        "natural_stops_differ",
        "suspect",
        "launches answered the same requests with other lengths, since a model may end its answer: tokens/s and E2EL are of "
        "other work",
        "let answers end by length (ends_by: length), or compare TTFT and TPOT; see whether outputs changed between launches",
        "2 % of the output tokens of the same requests: less moves no headline metric by more than a run varies",
    ),
    Code(
        "arrivals_late",
        "suspect",
        "requests of a trace left the client later than at their recorded times: bursts came flatter than they were",
        "leave max_concurrency out; give the client a processor of its own, or replay the trace more slowly",
        "20 ms at the 99th percentile, behind the most punctual request: an idle client is a few milliseconds late, a "
        "step of a server takes about 20",
    ),
    Code(
        "history_cut",
        "suspect",
        "conversations outgrew what the server takes: later turns were sent without what was said first, so they are "
        "shorter than asked and share no beginning with the turn before",
        "raise max_model_len, or ask for fewer turns or shorter ones",
        "one turn: from there on its conversation is another one",
    ),
    Code(
        "client_queue_dominates",
        "suspect",
        "requests waited in the client before they were sent, and no latency holds that wait",
        "leave max_concurrency out of an open loop, or lower the rate",
        "mean wait above 10 % of the mean latency, in an open loop: there it is what a user would feel",
    ),
    Code(
        "too_short",
        "suspect",
        "too short to be steady: filling and draining the server are a large part of the window",
        "send at least ten prompts per request in flight",
        "5 request latencies: start and end take about one, which is then over a fifth; 3 where one is in flight: there "
        "nothing fills or drains",
    ),
    Code(
        "drain_dominates",
        "suspect",
        "much of the window passed after the last request was sent: throughput is that of a server running empty",
        "send more prompts; look for the one request that took so long",
        "a third of the window; ten prompts per request in flight leave a tenth",
    ),
    Code(
        "start_burst",
        "note",
        "the slowest TTFTs are those of the first requests, which arrive all at once: the tail is the start, "
        "not the load",
        "read the median, send more prompts, or offer a rate",
        "the slowest TTFT in the first wave, whose median is twice that of the rest",
    ),
    Code(
        "server_stalled",
        "suspect",
        "for a part of the window no request in flight got a token: a kernel was compiled, or something stood still",
        "see the server's log for that time; warm up with the shapes that are measured, and measure again",
        "2 % of the window, in gaps of 0.5 s and 20 steps beyond twice what their prefills take: no step takes so long",
    ),
    Code(
        "overloaded",
        "suspect",
        "requests came faster than they were answered, so more and more were in flight: every latency is that of the "
        "number of prompts, not that of the rate",
        "lower the rate; where the server can keep it, send more prompts, so that the load is mostly steady",
        "over the sixths of the sending, in flight rises in 14 of 15 pairs, and while more than usual were, 3 % fewer "
        "were answered than came (and 6 requests more): in none of 2,000 simulated runs at 80 to 95 % of the capacity; "
        "of figures alone, less than 90 % of the rate was answered",
    ),
    Code(
        "speed_shifted",
        "suspect",
        "requests of one part of the window took far longer a token than those of the rest: the mean is of neither",
        "look at what else ran, at temperature and clocks; measure again, and longer",
        "a factor of 1.4 between two levels of the medians of six parts; in an open loop 1.8 between requests that ran "
        "beside equally many: there the load makes the pace",
    ),
    Code(
        "iterations_unsteady",
        "suspect",
        "the iterations of latency mode, which do the same, drift or fall into two groups: their mean describes no iteration",
        "look at what else ran, at temperature and clocks; measure again, with more iterations",
        "a factor of 1.2 between two levels of the medians of six parts; or two groups, 15 % and six standard "
        "deviations apart, of a fifth of the iterations or more",
    ),
    Code(
        "pace_shifted",
        "note",
        "decoding changed its pace within the window and stayed so: the number averages two states",
        "read the medians by sixths; measure longer, or until it stays in one of them",
        "in a closed loop, a step of 3 % in the median ITL, and four standard deviations of its parts: noise around one "
        "pace made it in 1 of 1,500 simulated runs",
    ),
)
