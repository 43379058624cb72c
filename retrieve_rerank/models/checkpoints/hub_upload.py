"""Uploading a model's folder to the Hugging Face hub, when asked to."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from retrieve_rerank.errors import ConfigError, InputError, ModelError
from retrieve_rerank.network.answers import said

TOKEN = "HF_TOKEN"


def upload(folder: Path, repository: str, *, public: bool = False, message: str) -> str:
    """Upload a folder to a repository of models ("owner/name"), and return the commit's URL.

    A repository that is not there is made, private unless `public`; one that anyone can read is
    refused unless `public`. The token is that of the variable HF_TOKEN, and of no file. Raises
    ConfigError where there is none, InputError for a name that cannot be and what the hub refuses,
    ModelError where it does not answer as a hub does.
    """
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigError(
            f"uploading needs a token of {constants.ENDPOINT} that may write: set {TOKEN}"
        )
    api = HfApi(endpoint=constants.ENDPOINT, token=token)
    try:
        made = api.create_repo(repository, private=not public, exist_ok=True).repo_id
        if not public and not api.model_info(made).private:
            raise InputError(
                f"anyone can read {made}; upload to another, or give --public if that is meant"
            )
        commit = api.upload_folder(repo_id=made, folder_path=folder, commit_message=message)
    except HFValidationError as exc:
        raise InputError(f"{repository!r} cannot be a repository: {said(exc)}") from exc
    except HfHubHTTPError as exc:
        raise InputError(
            f"{constants.ENDPOINT} refuses the upload to {repository}:"
            f" {said(exc, secrets=[token])}; may the token of {TOKEN} write there?"
        ) from exc
    except InputError:
        raise
    except Exception as exc:  # of the HTTP library, or what comes of an answer of no hub
        raise ModelError(
            f"cannot upload to {repository}: {constants.ENDPOINT} does not answer as a hub of"
            f" models does ({type(exc).__name__}: {said(exc, secrets=[token])})"
        ) from exc
    return str(commit.commit_url)
