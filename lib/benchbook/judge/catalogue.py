"""Every reason code there is: how bad it is, what it means, from where on and why, what to do about it.

The tables in docs/verdicts.md and report read from here. A threshold that a check uses stands in that check's module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from benchbook.records.record import Reason

MAX_EVIDENCE = 2000  # characters: what a server says of itself has no end by itself


@dataclass(frozen=True)
class Code:
    """One reason code."""

    code: str
    severity: Literal["note", "suspect", "invalid"]  # a note leaves the verdict alone
    meaning: str
    remedy: str
    threshold: str = ""  # from where on it is said, and why from there
    # Brought about by what is not measured, for a while, and seen without a look at any value: worth measuring again.
    is_outside: bool = False


CODES = (
    # What was asked, sent and counted.
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
    # Streams.
    Code(
        "stream_bunched",
        "suspect",
        "answers reached the client in one heap instead of token by token: TTFT holds the whole answer, TPOT is near 0",
        "give server and client processors of their own; look for other load on the machine; what stands in between is to pass "
        "text on as it comes (nginx: proxy_buffering off)",
        "5 % of the answers in a single chunk or with most gaps below 0.1 ms, or fewer that make the mean TTFT 5 % longer: "
        "no engine makes a step so fast",
    ),
    Code(
        "itl_per_chunk",
        "note",
        "chunks hold several tokens, so ITL is the gap between chunks and not between tokens; TPOT is per token",
        "read TPOT; do not compare this ITL with one of another chunking",
        "1.05 tokens a chunk: below, ITL and TPOT agree within 5 %; of figures alone, mean and median ITL 1.5 times TPOT",
    ),
    Code(
        "empty_first_chunk",
        "suspect",
        "answers have more chunks than tokens, so some hold no text: where the first does, TTFT is its time, and the wait "
        "for the first token is among the gaps",
        "read the first gaps in raw.json; ask the server itself and not what stands before it",
        "5 % of the answers with one more, unless its first gap is short: vLLM sends none before there is a token",
    ),
    Code(
        "opening_chunk",
        "note",
        "answers open with a chunk that names the role and has no text, as those of a chat do: it comes with the first "
        "token, so TTFT is right, but ITL has a gap near 0 more for each answer",
        "read TPOT; do not compare this ITL with that of completions",
        "5 % of the answers with one chunk more than tokens, and a first gap of half the usual one at most: a token takes "
        "a step",
    ),
    Code(
        "closing_chunk",
        "note",
        "answers close with a chunk that says why they ended and has no text, as those of several engines do, or with two, as "
        "LiteLLM's: they come with the last token, so TTFT and TPOT are right, but ITL has a gap near 0 more for each",
        "read TPOT; do not compare this ITL with that of vLLM's server, which ends with its last token",
        "5 % of the answers with a chunk more than tokens, or two, without text, as the client heard; or a last gap of half the "
        "usual one at most: a token takes a step",
    ),
    Code(
        "latency_sum_broken",
        "invalid",
        "TTFT and the gaps after it do not add up to the latency of a request: a clock or a list is wrong",
        "keep raw.json and compare it with vLLM's own code of that version",
        "1 ms and 1 % in one request: vLLM takes all three from the same clock, so they add up to the digit; of figures alone "
        "10 %, since lengths may differ",
    ),
    # Load.
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
        "the iterations of latency mode, which do the same, drift or fall into two groups: their mean is the time of none",
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
    # Warmth.
    Code(
        "cache_warm",
        "suspect",
        "prompt tokens were served from the prefix cache though all prompts differ: an earlier run has warmed it",
        "turn the cache off, or let each repeat begin with an empty one (VLLM_SERVER_DEV_MODE: 1 in the launch's env)",
        "more than random prompts share by chance in 999 of 1,000 runs: each begins as one of N earlier ones in N of V "
        "cases, V being the vocabulary; where N or V is not known, 1 % of the tokens looked up",
    ),
    Code(
        "prefix_hits_differ",
        "suspect",
        "the prefix cache found more or less of the prompts than they were made to share: it was too small, or not as "
        "full or as empty as designed",
        "give the KV cache more memory, or have fewer prefixes; let each repeat begin with an empty cache "
        "(VLLM_SERVER_DEV_MODE: 1 in the launch's env)",
        "2 points of the prompt tokens looked up, beyond what whole blocks of what was sent before allow: at least what "
        "the measured requests share, at most what all requests of the file do",
    ),
    Code(
        "warmup_too_small",
        "suspect",
        "warmed up with fewer requests than are in flight later, or not at all: first-use costs are in the number",
        "leave num_warmup_prompts unset: two for each request in flight",
        "fewer than max_concurrency: a batch size first seen may compile kernels",
    ),
    Code(
        "compiled_while_measuring",
        "suspect",
        "server or engine compiled kernels or captured graphs while it was measured",
        "warm up with the shapes that are measured; measure again",
        "one line of its log: each costs between tenths of a second and ten seconds",
        is_outside=True,
    ),
    Code(
        "first_requests_slow",
        "suspect",
        "even the fastest of the first requests (or the first iteration) was far slower than all that came later",
        "warm up with the shapes that are measured; measure again",
        "0.5 s above the later median, and 5 times it, and more than a queue of the first wave; an iteration 1.3 times, "
        "where it makes the mean 5 % longer",
    ),
    # Sample.
    Code(
        "percentile_not_earned",
        "note",
        "too few samples for the highest percentile shown: it is close to the slowest sample and no tail",
        "take more samples (more prompts; in latency mode more num_iters), or read the highest percentile that is earned",
        "p99 from 662, p95 from 130, p90 from 64: from there on the second slowest bounds it with 99 % confidence",
    ),
    # Conditions.
    Code(
        "preempted",
        "suspect",
        "the server threw out requests and computed them again for want of KV cache; means hide it",
        "lower the concurrency or give the KV cache more memory",
        "one preemption counted",
    ),
    Code(
        "kv_exhausted",
        "suspect",
        "the requests in flight need more KV cache than there is: the concurrency measured is the cache's",
        "lower the concurrency or the lengths, or give the KV cache more memory",
        "asked tokens in flight above the capacity, or a usage of 99 % by the server's log or gauge",
    ),
    Code(
        "max_num_seqs_low",
        "suspect",
        "vLLM runs fewer requests at once than are in flight: the rest wait in its queue, and TTFT, or the time of a "
        "batch, is that wait",
        "raise max_num_seqs, or measure with as many in flight as it allows",
        "max_num_seqs below the requests in flight, by the host's command or vLLM's default for the device: as with "
        "a full KV cache, the concurrency measured is not the one asked for",
    ),
    Code(
        "client_saturated",
        "suspect",
        "the benchmark's client was at its own limit: the number is the client's",
        "give the client a processor of its own; split the load over several clients",
        "90 % of a core; where that was not watched, half of what it reads from a server that does nothing; a median "
        "loop lag of 25 ms, or of a quarter of the median TTFT: by so much each time is late",
    ),
    Code(
        "machine_busy",
        "suspect",
        "processes that are not part of the measurement used the processors meanwhile, or their host gave these away",
        "end other processes, or measure at another time",
        "15 % of the processor time used, counted in full where 90 % of the processors were busy and not at all below "
        "half, where everybody finds a free one: the usual small services stay below 5 %; or 5 % of the time wanted is "
        "stolen by the host of a virtual machine",
        is_outside=True,
    ),
    Code(
        "neighbours_slow",
        "suspect",
        "others ran beside it on the same machine, each at a place of its own, and that was seen to cost more than is allowed",
        "have fewer at_once, give each more of the machine, or set otherwise: alone under place",
        "the limit of the experiment's place, 1 % by default: of pairs alone and with neighbours, measured before the run",
    ),
    Code(
        "limits_low",
        "suspect",
        "the limit of open files or of ports is near what the load needs: connections may be refused or wait",
        "raise `ulimit -n`, or net.ipv4.ip_local_port_range",
        "a file for each connection and 100 to spare; half of the ports",
    ),
    Code(
        "several_engines",
        "note",
        "several engines answered: counts are their sums, the share of the KV cache in use is that of the fullest",
        "compare only with as many engines; give each its share of the requests",
        "two engines on one page of metrics",
    ),
    Code(
        "foreign_traffic",
        "suspect",
        "an attached server answered others too while it was measured: the number is what they left over",
        "measure when nobody else uses it, or a server of your own",
        "one request, or 1 % of the tokens: its counters are exact, but a token may be counted a moment late",
    ),
    Code(
        "network_differs",
        "suspect",
        "the way to one launch's server is longer than to another's: part of what their latencies differ by is the network",
        "measure both from where the ways are alike, or compare what the way is not in: TPOT, throughput",
        "5 % of the shortest median TTFT: so much of a difference is nothing that a server does",
    ),
    Code(
        "server_restarted",
        "invalid",
        "the server's counters went back while it was measured: it was restarted, or several servers answer in turn",
        "see its log; measure one server and not a router before several",
        "one counter",
    ),
    # Repeats and launches.
    Code(
        "measured_once",
        "note",
        "one repeat of this case is all that may be believed: how far repeats spread is unknown, and a small difference means "
        "nothing",
        "measure it three times or more",
        "a single repeat",
    ),
    Code(
        "repeats_disagree",
        "suspect",
        "the repeats of a case differ so much that their mean says little",
        "look for other load; add repeats",
        "a standard deviation within one start of the host above 10 % of the mean and 5 times the median one of the "
        "run's cases, or above 30 %; between starts, which are known to vary by up to 20 %, above 50 %",
    ),
    Code(
        "repeats_trend",
        "suspect",
        "the repeats of a case drift in one direction: the machine warms up, throttles or fills",
        "look at temperature, clocks and memory; add warm-up",
        "five repeats or more, Mann-Kendall p below 2 %, and a drift of 5 %",
    ),
    Code(
        "repeat_outlier",
        "suspect",
        "this repeat lies far from the other ones of its case",
        "look at what else ran then; measure it again",
        "four repeats or more of one start of the host, 5 scaled median deviations and 15 % from the median",
    ),
    Code(
        "precision_missed",
        "note",
        "a latency is known clearly less well than `precision` asked for: latencies spread more than was assumed, or "
        "neighbours wait alike",
        "give `precision` the spread that was seen, or ask for as many prompts as the square of the factor says",
        "half again the half-width that was asked for: of repeats as they were assumed 2 or 3 of 100 look so by chance",
    ),
    Code(
        "repeats_in_groups",
        "note",
        "the repeats of a case fall into two groups by their median ITL: decoding has two states, and the mean is of both",
        "see whether the groups are starts or rounds; compare within one state",
        "two repeats or more in each, 3 % between them and five times what either spans: by chance 3 % of four repeats, "
        "1 % of five",
    ),
    Code(
        "host_restarted",
        "note",
        "the repeats of this case were measured on several starts of the host",
        "fine where starts are part of the plan; else measure afresh with --new",
        "two starts",
    ),
    Code(
        "host_differs",
        "suspect",
        "the hosts behind the repeats of one case differ: version, command, backend or KV capacity",
        "measure afresh with --new on one kind of host",
        "any difference; KV capacity from 2 % on, since free memory varies a little",
    ),
    Code(
        "kv_capacity_differs",
        "suspect",
        "launches that ask for the same memory got different KV capacities, and the load may not fit into the smallest",
        "see what else held memory at the start; fix num_gpu_blocks_override",
        "10 %: compiled graphs take a few per cent of the cache's memory; the load is requests in flight × their tokens",
    ),
    # Modes that contradict each other.
    Code(
        "floor_above_load",
        "suspect",
        "one request alone (latency mode) is slower than a request under load at the same lengths: a floor cannot be",
        "see that both had the same flags, lengths and warm-up",
        "5 % and two standard deviations of the repeats above the least mean E2EL of two or more in flight",
    ),
    Code(
        "ceiling_below_serving",
        "suspect",
        "throughput mode, the ceiling, stays below what serving reaches: too few prompts to fill the engine",
        "give throughput mode several hundred prompts",
        "5 % and two standard deviations of the repeats",
    ),
    Code(
        "tpot_contradicts_latency",
        "suspect",
        "the pace of tokens of one request served alone does not match latency mode's",
        "see that both had the same flags; look for a client or server short of processor",
        "a factor of 1.5 either way: HTTP and streaming cost some, and no engine is half as slow offline; served slower, 1 ms "
        "too: HTTP costs 0.4 ms a token",
    ),
    Code(
        "outputs_differ",
        "suspect",
        "launches that claim to differ in speed only answer 32 fixed prompts differently: speed may be "
        "bought with output",
        "compare the answers; look at quantization and kernels",
        "more than a quarter of the answers: rounding turns a few, a changed model most",
    ),
    Code(
        "answers_worse",
        "suspect",
        "of the items that its guard asks under load, a launch has fewer right than the first one: its speed is bought with "
        "answers, and nothing is claimed better of it",
        "look at what turns wrong: quantization, kernels, a cache that is wrong under load",
        "a loss that is more than chance (exact interval of pairs, 95 %), and by the estimate more than the margin",
    ),
    Code(
        "guard_too_wide",
        "note",
        "the items of the guard are too few to tell whether a launch loses more of them than the margin, or were not answered",
        "ask more items; the report says about how many",
        "the interval of the change holds both the margin and what is allowed",
    ),
    Code(
        "guard_means_nothing",
        "note",
        "the model answers the guard's items no better than who guesses, as random weights do: there is nothing to lose",
        "measure a trained model, with items that it can answer",
        "random weights, or no more right than guessing gives (5 %)",
    ),
    Code(
        "degenerate_model",
        "suspect",
        "the model's speed is that of no model: different prompts get (nearly) one answer, or every token takes the "
        "same experts, so a step reads a fraction of the weights that it should",
        "measure a trained model, or random weights that behave: load_format: benchbook",
        "a quarter of the answers or fewer differ; a large step reads at most 1.5 times the experts of one token, where "
        "even routing reads 3 times; or load_format: dummy on gpt-oss, not counted",
    ),
    # How it was measured.
    Code(
        "notebook_raised",
        "suspect",
        "the number was saved, then a later cell of the notebook raised",
        "open executed.ipynb; the raw file is whole",
        "one exception",
    ),
    Code(
        "watching_failed",
        "suspect",
        "something that watches a measurement raised an error: the number is whole, but less is known of how it came about",
        "read the evidence; the checks that needed it are silent",
        "one error",
    ),
    Code(
        "check_failed",
        "suspect",
        "a check could not be carried out: the number is whole, but nobody has looked at it in this respect",
        "read the evidence; raw.json is there to look at",
        "one error: a silent check would pass for a satisfied one",
    ),
    Code(
        "guards_down",
        "note",
        "the experiment asked for remote code, developer endpoints or pickled messages: whoever reaches the "
        "host may run code",
        "leave them off unless the model needs them",
        "one of them",
    ),
    Code(
        "random_weights",
        "note",
        "the model has random weights: speed is that of its shape, text means nothing",
        "measure a trained model for claims about one",
        "by the model's own mark, or a load format that makes weights",
    ),
    Code(
        "speculation_unlike_text",
        "suspect",
        "the engine guesses tokens ahead, and the prompts are random: how many guesses come true, and so the speed, is not "
        "that of text",
        "measure speculation on the text that it is for; leave speculative_config out here",
        "by the host's command: what is accepted follows from the text",
    ),
    Code(
        "gpu_throttled",
        "suspect",
        "the GPU lowered its clocks for heat or by a hardware brake while it was measured",
        "look at its cooling and power supply; let it cool and measure again",
        "more than 5 % of the samples, and two of them: below it, a throttle is an instant",
        is_outside=True,
    ),
    Code(
        "clocks_low",
        "suspect",
        "the GPU worked at clocks far below its own, and neither its power limit nor heat held it back: they are locked",
        "see `nvidia-smi -q -d CLOCK`; `nvidia-smi -rgc` (and `-rac`) frees them; or compare with cards locked alike",
        "a median SM clock below 75 % of the card's highest, over the samples at work that nothing throttles; 95 % where "
        "the driver says that the owner's setting binds",
    ),
    Code(
        "gpu_shared",
        "suspect",
        "another process computed on the GPU while it was measured",
        "end it, or choose another GPU",
        "one process, but for one that the driver saw compute nothing; or 2 GiB that are of no process which it "
        "lists, or more processes than the launch has there",
        is_outside=True,
    ),
    Code(
        "gpu_power_capped",
        "note",
        "the GPU was at its power limit and lowered its clocks to stay there: usual under full load",
        "compare only with cards of the same power limit",
        "more than 5 % of the samples",
    ),
)

BY_CODE = {code.code: code for code in CODES}
OUTSIDE = frozenset(code.code for code in CODES if code.is_outside)


def reason(code: str, evidence: str) -> Reason:
    """Return the Reason of a catalogued `code`, with what was seen; an unknown code is a KeyError."""
    from benchbook.records.record import (
        Reason,
    )  # with its checks of types, which who only reads the catalogue need not load

    shown = evidence if len(evidence) <= MAX_EVIDENCE else evidence[: MAX_EVIDENCE - 1] + "…"
    return Reason(code=code, severity=BY_CODE[code].severity, evidence=shown)
