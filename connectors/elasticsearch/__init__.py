"""An index at an Elasticsearch server, whoever made it: searched by all that it has."""

from retrieve_rerank.connectors.elasticsearch.connector import ElasticsearchConnector

__all__ = ["ElasticsearchConnector"]
