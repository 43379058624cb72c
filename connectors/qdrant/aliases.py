"""Aliases: another name for a collection, which goes from one to the next in one step."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from retrieve_rerank.connectors.missing import taken
from retrieve_rerank.connectors.qdrant.client import Call, Steps
from retrieve_rerank.errors import ConfigError


def take_alias(collection: str, alias: str, location: str) -> Steps[list[str]]:
    """Let an alias name a collection and no other; return what it named before.

    Raises ConfigError where it cannot be a name, and IndexExistsError.
    """
    if not alias or "/" in alias:
        raise ConfigError(f"expected one alias's name; got {alias!r}")
    if any(each.name == alias for each in (yield Call("get_collections")).collections):
        raise taken(location, alias)
    known = (yield Call("get_aliases")).aliases
    before = [each.collection_name for each in known if each.alias_name == alias]
    actions: list[Any] = []
    if before:
        old = models.DeleteAlias(alias_name=alias)
        actions.append(models.DeleteAliasOperation(delete_alias=old))
    new = models.CreateAlias(collection_name=collection, alias_name=alias)
    actions.append(models.CreateAliasOperation(create_alias=new))
    yield Call("update_collection_aliases", {"change_aliases_operations": actions})
    return before
