"""A stand-in for the `vllm` program, for tests of what happens around it: put fake_package/ first on PYTHONPATH.

`serve` is fake_vllm.py; `bench serve|latency|throughput` write the official files with the official keys in a fraction
of a second. Their numbers mean nothing; tests of numbers use the real client against fake_vllm.py.
"""

import argparse
import http.client
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

HEADLINES = ("ttft", "tpot", "itl", "e2el")


def main() -> None:
    """Do as the command line says."""
    if sys.argv[1] == "serve":
        sys.path.insert(0, str(Path(__file__).parents[4]))
        import fake_vllm

        return fake_vllm.main()
    if sys.argv[1:2] != ["bench"] or len(sys.argv) < 3:
        sys.exit(2)
    parser = argparse.ArgumentParser()
    for flag in ("--base-url", "--served-model-name", "--result-dir", "--result-filename", "--output-json"):
        parser.add_argument(flag)
    for flag in (
        "--num-prompts",
        "--random-input-len",
        "--random-output-len",
        "--max-concurrency",
        "--num-iters",
        "--seed",
    ):
        parser.add_argument(flag, type=int, default=1)
    options, _ = parser.parse_known_args(sys.argv[3:])
    return {"serve": bench_serve, "latency": bench_latency, "throughput": bench_throughput}[sys.argv[2]](options)


def bench_serve(options: argparse.Namespace) -> None:
    """Send the requests and write what a `--save-detailed` file holds."""
    with ThreadPoolExecutor(options.max_concurrency) as pool:
        answers = list(pool.map(lambda index: complete(options, index), range(options.num_prompts)))
    # From the first request on: on a busy machine the threads' own start takes longer than all requests together.
    ends_s = [answer["start_s"] + answer["e2el_s"] for answer in answers]
    duration_s = max(ends_s) - min(answer["start_s"] for answer in answers)
    good = [answer for answer in answers if not answer["error"]]
    output_tokens = sum(answer["tokens"] for answer in good)
    input_tokens = options.random_input_len * len(good)
    raw = {
        "num_prompts": options.num_prompts,
        "completed": len(good),
        "failed": len(answers) - len(good),
        "duration": duration_s,
        "total_input_tokens": input_tokens,
        "total_output_tokens": output_tokens,
        "request_goodput": None,
        "request_throughput": len(good) / duration_s,
        "output_throughput": output_tokens / duration_s,
        "total_token_throughput": (input_tokens + output_tokens) / duration_s,
        "output_lens": [answer["tokens"] for answer in answers],
        "errors": [answer["error"] for answer in answers],
        "input_lens": [options.random_input_len] * len(answers),
        "start_times": [answer["start_s"] for answer in answers],
        "ttfts": [answer["ttft_s"] for answer in answers],
        "latencies": [answer["e2el_s"] for answer in answers],
        **{
            f"{statistic}_{name}_ms": 1.0 if good else 0.0
            for name in HEADLINES
            for statistic in ("mean", "median", "std", "p90", "p95", "p99")
        },
        # What is checked against the requests' own times is of them: on a busy machine 1 ms would contradict them.
        "mean_e2el_ms": 1000 * sum(answer["e2el_s"] for answer in good) / max(1, len(good)),
    }
    Path(options.result_dir, options.result_filename).write_text(json.dumps(raw))


def complete(options: argparse.Namespace, index: int) -> dict:
    """Send one streamed completion; a refused or broken one has an error, a cut one is shorter.

    Its first word tells seed and number apart.
    """
    address, start_s = urlsplit(options.base_url), time.perf_counter()
    body = {
        "model": options.served_model_name,
        "prompt": f"w{options.seed * 1000 + index} " + "w7 " * (options.random_input_len - 1),
        "max_tokens": options.random_output_len,
        "stream": True,
    }
    headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY')}", "Content-Type": "application/json"}
    answer = {"error": "", "tokens": 0, "start_s": start_s, "ttft_s": 0.0, "e2el_s": 0.0}
    try:
        connection = http.client.HTTPConnection(address.hostname, address.port)
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            return {**answer, "error": f"HTTP {response.status}"}
        for line in response:
            if line.startswith(b"data: {"):
                answer["ttft_s"] = answer["ttft_s"] or time.perf_counter() - start_s
                answer["tokens"] += len(json.loads(line[6:])["choices"][0]["text"].split())
    except (OSError, http.client.HTTPException) as error:
        answer["error"] = "" if answer["tokens"] else repr(error)  # as vLLM: a cut stream has no error
    return {**answer, "e2el_s": time.perf_counter() - start_s}


def bench_latency(options: argparse.Namespace) -> None:
    """Write what `bench latency` writes."""
    latencies = [0.001] * options.num_iters
    percentiles = {str(p): 0.001 for p in (10, 25, 50, 75, 90, 99)}
    Path(options.output_json).write_text(
        json.dumps({"avg_latency": 0.001, "latencies": latencies, "percentiles": percentiles})
    )


def bench_throughput(options: argparse.Namespace) -> None:
    """Write what `bench throughput` writes, and print what it only prints."""
    input_tokens, output_tokens = (
        options.num_prompts * options.random_input_len,
        options.num_prompts * options.random_output_len,
    )
    total = input_tokens + output_tokens
    print(
        f"Throughput: {options.num_prompts:.2f} requests/s, {total:.2f} total tokens/s, {output_tokens:.2f} output tokens/s"
    )
    print(f"Total num prompt tokens:  {input_tokens}\nTotal num output tokens:  {output_tokens}")
    raw = {
        "elapsed_time": 1.0,
        "num_requests": options.num_prompts,
        "total_num_tokens": total,
        "requests_per_second": options.num_prompts,
        "tokens_per_second": total,
    }
    Path(options.output_json).write_text(json.dumps(raw))


if __name__ == "__main__":
    main()
