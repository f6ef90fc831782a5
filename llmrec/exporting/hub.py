"""Uploads an exported run to the Hugging Face Hub."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from llmrec.errors import InputError


def push(folder: Path, repository: str) -> str:
    """Uploads a folder to a repository, which is created as a private one if it does not exist.

    Args:
        folder: The exported run.
        repository: Name of the repository, user/name.

    Returns:
        The address of the upload.

    Raises:
        InputError: The Hub refuses it or cannot be reached. The folder stays.
    """
    api = HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        return str(api.upload_folder(folder_path=folder, repo_id=repository, commit_message="Upload of llmrec.export"))
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"push={repository}: the Hub does not take it ({reason}). Log in with `hf auth login`, then upload the "
            f"folder: hf upload {repository} {folder}"
        ) from error
