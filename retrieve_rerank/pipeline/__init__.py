"""From a query to ranked hits: the retriever and its stages."""
