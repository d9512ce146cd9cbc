"""Codes of streamed answers: their chunks and the gaps between them."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
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
)
