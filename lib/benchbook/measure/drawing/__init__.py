"""Request sets drawn: from a row of `requests:` and a tokenizer to the requests that are frozen in a run.

    check_files(request_set, at_once=80)        in the runner, which imports no vLLM: each file is as it must be
    draw_set(order, socket_path=...)            by the warm client, which has vLLM: the frozen file

What is drawn with one seed is the same for ever, and a longer draw begins with all of a shorter one.
"""
