"""An experiment file of one launch, for tests of what its settings mean; the place of each is known by its line."""

from __future__ import annotations

from pathlib import Path

FIRST = "first_request: {}"
SERVE = "serve: {max_concurrency: 1, lengths: [[64, 16]], num_prompts: 4}"


def written(
    folder: Path,
    args: str = "{}",
    env: str = "{}",
    *,
    launch: str = "d",
    plugin_env: str = "{}",
    model: str = "tiny",
    benchmark: str = SERVE,
) -> Path:
    """Write exp.yaml into `folder` and return its path: the launch in line 4, its args in line 5, its env in line 6."""
    path = folder / "exp.yaml"
    path.write_text(
        f"question: Which?\nmodel: {model}\nlaunches:\n  {launch}:\n    args: {args}\n    env: {env}\n"
        f"    plugin_env: {plugin_env}\nbenchmarks:\n  - {benchmark}\n"
    )
    return path
