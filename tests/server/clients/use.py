"""Call a server with clients that others wrote, in the environment that has them.

    python tests/server/clients/use.py URL KEY

One JSON object a line: the client, its version, and the order of the documents or what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

QUERY = "which wing flutter was measured?"
TEXTS = ["Bread is baked.", "Wing flutter was measured in a wind tunnel.", "flutter", "Ä 中文"]
MODEL = "tiny"

URL, KEY = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")


def _indexes(results: Sequence[Any]) -> list[int]:
    return [row.index for row in results]


def cohere_v1() -> list[int]:
    import cohere

    client = cohere.Client(KEY, base_url=f"{URL}/cohere")
    documents = [{"text": text} for text in TEXTS]
    found = client.rerank(query=QUERY, documents=documents, model=MODEL, return_documents=True)
    assert found.results[0].document.text in TEXTS
    return _indexes(found.results)


def cohere_v2() -> list[int]:
    import cohere

    client = cohere.ClientV2(KEY, base_url=URL)  # at the bare paths
    try:
        client.rerank(query=QUERY, documents=TEXTS, model="none")
    except cohere.NotFoundError as exc:
        assert "no model 'none'" in exc.body["message"]
    else:
        raise AssertionError("an unknown model was taken")
    return _indexes(client.rerank(query=QUERY, documents=TEXTS, model=MODEL).results)


def cohere_async() -> list[int]:
    import cohere

    async def both() -> list[int]:
        first = await cohere.AsyncClient(KEY, base_url=f"{URL}/cohere").rerank(
            query=QUERY, documents=TEXTS, model=MODEL
        )
        second = await cohere.AsyncClientV2(KEY, base_url=f"{URL}/cohere").rerank(
            query=QUERY, documents=TEXTS, model=MODEL, top_n=4
        )
        assert _indexes(first.results) == _indexes(second.results)
        return _indexes(first.results)

    return asyncio.run(both())


def langchain_cohere() -> list[int]:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document

    reranker = CohereRerank(cohere_api_key=KEY, base_url=f"{URL}/cohere", model=MODEL, top_n=4)
    found = reranker.compress_documents([Document(page_content=text) for text in TEXTS], QUERY)
    return [TEXTS.index(document.page_content) for document in found]


def voyage() -> list[int]:
    import voyageai

    client = voyageai.Client(KEY, base_url=f"{URL}/voyage/v1")
    try:
        client.rerank(QUERY, TEXTS, model="none")
    except voyageai.error.VoyageError as exc:
        assert "no model 'none'" in str(exc)
    else:
        raise AssertionError("an unknown model was taken")
    found = client.rerank(QUERY, TEXTS, model=MODEL)
    assert found.total_tokens > 0
    return _indexes(found.results)


def voyage_async() -> list[int]:
    import voyageai

    client = voyageai.AsyncClient(KEY, base_url=f"{URL}/voyage/v1")
    return _indexes(asyncio.run(client.rerank(QUERY, TEXTS, model=MODEL)).results)


def infinity() -> list[int]:
    from infinity_client import AuthenticatedClient
    from infinity_client.api.default import rerank
    from infinity_client.models import RerankInput

    with AuthenticatedClient(base_url=URL, token=KEY) as client:
        found = rerank.sync(client=client, body=RerankInput(query=QUERY, documents=TEXTS))
    return _indexes(found.results)


def _of_nodes(reranker: Any) -> list[int]:
    from llama_index.core.schema import NodeWithScore, TextNode

    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in TEXTS]
    found = reranker.postprocess_nodes(nodes, query_str=QUERY)
    return [TEXTS.index(each.node.get_content()) for each in found]


def llama_index_cohere() -> list[int]:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    return _of_nodes(CohereRerank(top_n=4, model=MODEL, api_key=KEY, base_url=f"{URL}/cohere"))


def llama_index_jina() -> list[int]:
    from llama_index.postprocessor.jinaai_rerank import JinaRerank

    return _of_nodes(JinaRerank(top_n=4, model=MODEL, api_key=KEY, base_url=f"{URL}/jina/v1"))


def llama_index_tei() -> list[int]:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    return _of_nodes(
        TextEmbeddingInference(top_n=4, base_url=f"{URL}/tei", auth_token=f"Bearer {KEY}")
    )


def _of_documents(ranker: Any) -> list[int]:
    from haystack import Document

    found = ranker.run(query=QUERY, documents=[Document(content=text) for text in TEXTS])
    return [TEXTS.index(document.content) for document in found["documents"]]


def haystack_cohere() -> list[int]:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    key = Secret.from_token(KEY)
    return _of_documents(CohereRanker(model=MODEL, api_key=key, api_base_url=f"{URL}/cohere"))


def haystack_jina() -> list[int]:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.jina import JinaRanker

    key, url = Secret.from_token(KEY), f"{URL}/jina/v1/rerank"
    return _of_documents(JinaRanker(model=MODEL, api_key=key, base_url=url))


CLIENTS: Mapping[str, tuple[str, Callable[[], list[int]]]] = {
    "Cohere's SDK, v1": ("cohere", cohere_v1),
    "Cohere's SDK, v2": ("cohere", cohere_v2),
    "Cohere's SDK, v1 and v2, async": ("cohere", cohere_async),
    "LangChain's CohereRerank": ("langchain-cohere", langchain_cohere),
    "Voyage's client": ("voyageai", voyage),
    "Voyage's client, async": ("voyageai", voyage_async),
    "Infinity's client": ("infinity_client", infinity),
    "LlamaIndex's CohereRerank": (
        "llama-index-postprocessor-cohere-rerank",
        llama_index_cohere,
    ),
    "LlamaIndex's JinaRerank": ("llama-index-postprocessor-jinaai-rerank", llama_index_jina),
    "LlamaIndex's TextEmbeddingInference": (
        "llama-index-postprocessor-tei-rerank",
        llama_index_tei,
    ),
    "Haystack's CohereRanker": ("cohere-haystack", haystack_cohere),
    "Haystack's JinaRanker": ("jina-haystack", haystack_jina),
}
"""What it is called -> its package, and what calls the server with it."""


def main() -> None:
    """Call with each client; go on where one fails."""
    for name, (package, call) in CLIENTS.items():
        try:
            found: Any = call()
        except Exception as exc:
            found = f"{type(exc).__name__}: {exc}"
        line = {"client": name, "package": f"{package} {version(package)}", "found": found}
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
