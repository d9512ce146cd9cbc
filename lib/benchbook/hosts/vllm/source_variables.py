"""How the variables of a vLLM are read, as its source says it: which values, numbers and switches they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from benchbook.hosts.vllm.switches import on_or_off

READERS_OF_LISTS = ("env_list_with_choices", "env_set_with_choices")
_NUMBERS = {"int": "int", "maybe_convert_int": "int", "maybe_convert_bool": "switch", "float": "float"}


def choices_of(variables: Mapping[str, ast.expr]) -> dict[str, frozenset[str]]:
    """Return what the variables take that are checked against a list."""
    found = {}
    for name, call in choosing(variables):
        lists = [node for node in ast.walk(call) if isinstance(node, ast.List)]
        found[name] = frozenset(text for node in lists for text in texts(node.elts))
    return found


def choosing(variables: Mapping[str, ast.expr]) -> Iterator[tuple[str, ast.Call]]:
    """Yield each variable that is checked against a list, and the call that does it."""
    for name, value in variables.items():
        if isinstance(value, ast.Call) and "choices" in ast.unparse(value.func):
            yield name, value


def takes_any_case(call: ast.Call) -> bool:
    """Return whether the call that checks a variable takes its values in capitals or not."""
    return any(word.arg == "case_sensitive" and ast.unparse(word.value) == "False" for word in call.keywords)


def reading_of(value: ast.expr, module: ast.Module) -> list[ast.AST]:
    """Return all nodes by which a variable is read: of its expression, and of the module's functions that it names."""
    nodes = list(ast.walk(value))
    named = {node.id for node in nodes if isinstance(node, ast.Name)}
    functions = (node for node in module.body if isinstance(node, ast.FunctionDef) and node.name in named)
    return nodes + [node for function in functions for node in ast.walk(function)]


def numbers_of(reading: Mapping[str, list[ast.AST]]) -> Iterator[tuple[str, str]]:
    """Yield each variable whose text is turned into a number as it stands, and which: ('VLLM_CPU_KVCACHE_SPACE', 'int')."""
    for name, nodes in reading.items():
        calls = [node for node in nodes if isinstance(node, ast.Call) and len(node.args) == 1]
        kept = {
            ast.unparse(node.targets[0])
            for node in nodes
            if isinstance(node, ast.Assign) and _is_text_of(name, node.value)
        }
        read = [call for call in calls if _is_text_of(name, call.args[0]) or ast.unparse(call.args[0]) in kept]
        kinds = {_NUMBERS.get(ast.unparse(call.func)) for call in read} - {None}
        is_switch = any(ast.unparse(call).startswith("bool(int(") for call in calls)
        yield from ((name, "switch" if is_switch else kind) for kind in kinds)


def switches_of(reading: Mapping[str, list[ast.AST]]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each variable whose text is compared with words for on, and these: ('VLLM_SKIP_P2P_CHECK', {'1'})."""
    for name, nodes in reading.items():
        for node in (node for node in nodes if isinstance(node, ast.Compare)):
            inside = list(ast.walk(node.left))
            words = texts([part for side in node.comparators for part in ast.walk(side)])
            are_on = words and all(on_or_off(word) for word in words)
            if are_on and isinstance(node.ops[0], ast.Eq | ast.In) and any(_is_text_of(name, part) for part in inside):
                is_lowered = any(isinstance(part, ast.Attribute) and part.attr == "lower" for part in inside)
                cases = (str, str.title, str.upper) if is_lowered else (str,)
                yield name, frozenset(case(word) for word in words for case in cases)


def looked_up(reading: Mapping[str, list[ast.AST]], is_on: bool) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each variable that {'1': True, '0': False}.get(...) reads, and its words for on, or for off; others say neither."""
    for name, nodes in reading.items():
        for call in (node for node in nodes if isinstance(node, ast.Call) and len(node.args) == 1):
            table = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr == "get" else None
            if isinstance(table, ast.Dict) and any(_is_text_of(name, part) for part in ast.walk(call.args[0])):
                pairs = zip(table.keys, table.values, strict=True)
                words = [key for key, value in pairs if ast.unparse(value) == str(is_on)]
                yield from [(name, frozenset(texts(words)))] if texts(words) else []


def _is_text_of(name: str, node: ast.AST) -> bool:
    """Return whether an expression is the text of a variable: os.getenv(name, ...), os.environ.get(name), os.environ[name]."""
    if isinstance(node, ast.Subscript):
        return ast.unparse(node.value) == "os.environ" and name in texts([node.slice])
    is_asked = isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.getenv", "os.environ.get")
    return is_asked and name in texts(node.args[:1])


def texts(nodes: list[ast.expr]) -> list[str]:
    """Return the texts among some expressions."""
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
