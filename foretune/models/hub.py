"""Model folders from the Hugging Face hub: configuration and safetensors, never pickle."""

from __future__ import annotations

import re
from pathlib import Path

from foretune.tasks.errors import InputError

_HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")
_TIMEOUT = 10.0  # seconds to wait for the hub's first answer


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form `owner/model` or `owner/model@revision`."""
    return _HUB_ID.fullmatch(name) is not None


def download(name: str) -> Path:
    """Return the local folder of a hub model, fetching what is not in the cache yet.

    Only JSON files, safetensors and the model card are fetched. Offline (`HF_HUB_OFFLINE=1`, or no
    connection) the cache has to hold the model; that is found out with one request, not by retrying.

    Args:
        name: `owner/model`, with `@revision` (branch, tag or commit) after it on request.

    Raises:
        InputError: the hub has no such model or revision, it has no safetensors, or it is not in the
            cache while the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match = _HUB_ID.fullmatch(name)
    if match is None:
        raise InputError(f"model {name}: not a hub id; write owner/model or owner/model@revision")
    repository, revision = match["repository"], match["revision"]
    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=["*.json", "*.safetensors", "README.md"],
                etag_timeout=_TIMEOUT,
            )
        )
    except GatedRepoError:
        raise InputError(f"model {name}: access is restricted; ask for it on its hub page, log in") from None
    except RevisionNotFoundError:
        raise InputError(f"model {name}: the hub has no revision {revision} of {repository}") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(f"model {name}: neither a folder nor a public model on the hub; check it") from None
    except LocalEntryNotFoundError:
        raise InputError(
            f"model {name}: no such folder, not in the local cache, and the hub cannot be reached; "
            "check the spelling, go online, or give a local folder"
        ) from None
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"model {name}: the hub has no safetensors of it, and pickled weights are not loaded; "
            "convert it with save_pretrained and give the folder"
        )
    return folder
