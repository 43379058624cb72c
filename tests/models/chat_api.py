"""How OpenAI-compatible servers answer, for `embedding_server.serve`.

Its model likes tokens in the order of LIKED, whatever it is asked.
"""

from __future__ import annotations

from typing import Any

from tests.models.embedding_server import Reply, ok

LIKED = {"yes": -0.1, " no": -2.5, "Yes": -4.0, "A": -5.0, " yes": -6.0, "[": -7.0}


def documented(path: str, body: Any) -> Reply:
    """Answer as https://platform.openai.com/docs/api-reference documents it, vLLM's fields too."""
    if path == "/v1/chat/completions":
        said = f"{len(body['messages'])} messages"
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": said, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
        if body.get("logprobs"):
            top = [{"token": t, "logprob": v, "bytes": list(t.encode())} for t, v in LIKED.items()]
            chosen = {**top[0], "top_logprobs": top[: body["top_logprobs"]]}
            choice["logprobs"] = {"content": [chosen], "refusal": None}
        return ok({"id": "1", "object": "chat.completion", "choices": [choice], "usage": {}})
    if path == "/v1/completions":
        choice = {"index": 0, "text": f" {len(body['prompt'])} characters", "logprobs": None}
        if body.get("logprobs"):
            choice["logprobs"] = {
                "tokens": ["yes"],
                "token_logprobs": [-0.1],
                "top_logprobs": [LIKED],
                "text_offset": [0],
            }
        return ok({"id": "1", "object": "text_completion", "choices": [choice], "usage": {}})
    return 404, {}, b'{"error": {"message": "The model does not exist", "code": 404}}'
