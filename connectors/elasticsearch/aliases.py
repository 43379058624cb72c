"""Aliases: another name for an index, which goes from one to the next in one step."""

from __future__ import annotations

from retrieve_rerank.connectors.elasticsearch.client import Request, Steps
from retrieve_rerank.connectors.elasticsearch.names import is_plain
from retrieve_rerank.connectors.elasticsearch.opening import Opened
from retrieve_rerank.connectors.missing import taken
from retrieve_rerank.errors import ConfigError


def take_alias(opened: Opened, alias: str) -> Steps[list[str]]:
    """Point an alias at an index and no other; return those it pointed at.

    Raises ConfigError for several indexes or more than one name, and IndexExistsError.
    """
    if not is_plain(alias) or "/" in alias:
        raise ConfigError(f"expected one alias's name; got {alias!r}")
    index = opened.one_index
    there = yield Request("GET", "/_alias", params={"expand_wildcards": "all"})
    if alias in there:
        raise taken(opened.location, alias)
    before = sorted(name for name, each in there.items() if alias in each.get("aliases", {}))
    actions = [{"remove": {"index": name, "alias": alias}} for name in before]
    actions.append({"add": {"index": index, "alias": alias}})
    yield Request("POST", "/_aliases", {"actions": actions}, safe=False)
    return before
