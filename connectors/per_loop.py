"""`PerLoop`, where connectors written against its first place find it."""

from __future__ import annotations

from retrieve_rerank.per_loop import PerLoop as PerLoop
