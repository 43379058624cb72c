"""Collections whose users choose each point's shard, as a server has them: local mode has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class CustomShards:
    """The shard of each point of each such collection."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, str]] = {}
        """Collection -> point id -> shard key."""

    def problem(self, collection: str, method: str, path: str, body: Any) -> str | None:
        """Say why a write is refused: it must name the shards of its points."""
        shards = self.of.get(collection)
        if shards is None or not isinstance(body, Mapping):
            return None
        if not (path.startswith("points/") or (method, path) == ("PUT", "points")):
            return None
        if path in ("points/query", "points/query/batch", "points/scroll", "points/count"):
            return None
        for each in _writes(body):
            given = each.get("shard_key")
            keys = set(given if isinstance(given, list) else [given]) - {None}
            if not keys:
                return "Bad request: Shard key not specified"
            if unknown := keys - set(shards.values()):
                return f"Bad request: Shard key {unknown.pop()} not found"
            points = each.get("points") or []
            ids = [str(point["id"] if isinstance(point, dict) else point) for point in points]
            if any(shards[id_] not in keys for id_ in ids):
                return f"Not found: No point with id {ids[0]} found"
        return None

    def tell(self, collection: str, points: list[Any]) -> None:
        """Write into points which shard they are of."""
        for each in points:
            each.shard_key = self.of.get(collection, {}).get(str(each.id))


def _writes(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for operation in body.get("operations", [{"": body}]):
        yield from operation.values()
