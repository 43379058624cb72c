"""What holds of every connector, as a class of tests that authors of others run on theirs.

    class TestMine(ConnectorConformance):
        def connector(self, encoder: Encoder | None) -> Connector:
            return MyConnector.create("mine://localhost/fresh", encoder=encoder)

They need nothing but a runner that calls what is named `test_…`, as pytest does.
"""

from retrieve_rerank.testing.connectors.filtering import FilteringConformance
from retrieve_rerank.testing.connectors.searching import SearchingConformance
from retrieve_rerank.testing.connectors.writing import WritingConformance


class ConnectorConformance(WritingConformance, SearchingConformance, FilteringConformance):
    """Say which `connector` to test; override `encoder` for one that searches by words alone."""


__all__ = ["ConnectorConformance"]
