"""Codes of the conditions: machine, client, server and the way to it."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
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
        "steps_padded",
        "note",
        "steps run as CUDA graphs of more requests than are in flight: they take as long as with so many, and a few "
        "requests fewer may give more output in all",
        "measure loads that have a graph, or name their sizes in cudagraph_capture_sizes",
        "the next graph is of 1.25 times the requests in flight and more; vLLM captures by itself 1, 2, 4, every 8 "
        "and, from 256 on, every 16",
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
        "start_not_proven",
        "invalid",
        "the host took over from an earlier start what a fresh one makes anew, its weights or the size of its KV cache, and "
        "nothing shows that such a start gives the same numbers on this device",
        "start it whole, or prove it: python lib/proofs/cheaper_starts.py",
        "by its log, unless a proof for this version and device lay there: all intervals within 2 % of equal",
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
)
