"""The console of tables and other things that rich lays out, whatever texts are in them.

Imported where a table is made: rich takes a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import console
from rich.segment import Segment
from rich.text import Text

from retrieve_rerank.cli.views.terminal import printable


class Console(console.Console):
    """A console that takes no text for markup, and lets none command the terminal.

    Documents, servers' errors and file names all get here; styles are given by rich's objects.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text as it may be shown, before it is laid out."""
        return super().render_str(printable(text, lines=True), **options)

    def render(self, *things: Any, **options: Any) -> Iterable[Segment]:
        """Render anything; what is no command of rich's own is made harmless."""
        for segment in super().render(*things, **options):
            harmless = segment.control or segment.text.isprintable()
            yield (
                segment if harmless else segment._replace(text=printable(segment.text, lines=True))
            )
