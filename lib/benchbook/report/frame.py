"""What every page of ours has around it: a policy that lets nothing be fetched, its style, and the one script it may run.

The script is ours and the same on each page. The policy names it by its hash, so that no other runs, wherever it came from.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path

from benchbook.report.markup import Html, text, with_drawings

_HERE = Path(__file__).parent


@functools.cache
def _own(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def head(title: str, description: str = "") -> Html:
    """Return what stands in the <head> of a page; its `description` is what a list of pages says of it."""
    digest = base64.b64encode(hashlib.sha256(_own("report.js").encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    told = f'<meta name="description" content="{text(description)}">\n' if description else ""
    return Html(
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"{told}<title>{text(title)}</title>\n"
        f'<link rel="icon" href="data:,">\n<style>\n{_own("report.css")}</style>'
    )


def script() -> Html:
    """Return the script, which stands at the end of a page."""
    return Html(f"<script>{_own('report.js')}</script>")


def page(title: str, body: Html) -> str:
    """Return a whole page that shows `body`."""
    whole = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head(title)}\n</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n{script()}\n</body>\n</html>\n"
    )
    return with_drawings(whole)
