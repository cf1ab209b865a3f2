"""Credentials of object stores and clouds: name what is missing in one sentence, before the first job.

Their libraries raise a traceback per file that is asked for, or before Snakemake has read the workflow. A store that is
reached through S3 is asked once, when the workflow is read. Google's library asks for credentials before that, and the
executors of clouds when they start; the profiles of clouds therefore call :func:`demand` (docs/cloud.md).
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

S3_KEYS = ("SNAKEMAKE_STORAGE_S3_ACCESS_KEY", "SNAKEMAKE_STORAGE_S3_SECRET_KEY")
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# Codes of S3 for keys that it does not accept. Without the right to list a bucket, its files may still be readable.
REFUSED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AuthorizationHeaderMalformed",
}
DRY = {"-n", "--dry-run", "--dryrun"}


def of_store(provider: Any, *, prefix: str) -> str | None:
    """Return what keeps this process from reading the store of the results, or None.

    Parameters
    ----------
    provider
        Snakemake's default storage provider. Only that of S3 is asked, by one request for at most one key.
    prefix
        The prefix of the results, as `s3://BUCKET/SCREEN`.
    """
    client = getattr(getattr(getattr(provider, "s3c", None), "meta", None), "client", None)
    if client is None:
        return None
    exceptions = importlib.import_module("botocore.exceptions")
    bucket, _, key = prefix.removeprefix("s3://").partition("/")
    try:
        client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        return f"{prefix}: expected credentials of the store, found none or half of them ({error}). {_set(S3_KEYS)}"
    except exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        return None if code not in REFUSED else f"{prefix}: the store refuses the credentials ({code}). {_set(S3_KEYS)}"
    except (exceptions.BotoCoreError, ValueError) as error:
        return (
            f"{prefix}: the store does not answer ({error}). Check the prefix in the profile, the network, and, for a "
            "store other than AWS, its address in SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"
        )
    return None


def demand(store: str, executor: str, *, call: list[str] | None = None) -> None:
    """End the process by one sentence if the credentials of a profile's store or executor are missing.

    Parameters
    ----------
    store, executor
        Names of Snakemake's plugins: `s3` or `gcs`; `kubernetes`, `aws-batch` or `googlebatch`. The credentials of S3
        are checked by :func:`of_store`. A dry run starts no executor and needs only those of the store.
    call
        The arguments of the command line; by default those of this process.

    Raises
    ------
    SystemExit
        Credentials are missing; the sentence names the variable and the file.
    """
    dry = bool(DRY & set(sys.argv if call is None else call))
    found = google() if store == "gcs" and not os.environ.get("STORAGE_EMULATOR_HOST") else None
    if found is None and not dry:
        found = {"kubernetes": kubernetes, "aws-batch": aws, "googlebatch": google}[executor]()
    if found is not None:
        sys.exit(found)


def google() -> str | None:
    """Return that Google's credentials are missing, or None; also where its library is not installed."""
    try:
        auth = importlib.import_module("google.auth")
        exceptions = importlib.import_module("google.auth.exceptions")
    except ImportError:  # Snakemake names the plugin that is not installed
        return None
    variable = "GOOGLE_APPLICATION_CREDENTIALS"
    folder = Path(os.environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud").expanduser()
    try:
        auth.default()
    except exceptions.DefaultCredentialsError as error:
        given = os.environ.get(variable)
        named = f"{given}, which {variable} names, cannot be used ({error})" if given else f"{variable} is not set"
        return (
            f"Google Cloud: expected credentials, found none: {named}, and there is no "
            f"{folder / 'application_default_credentials.json'}. Run `gcloud auth application-default login`, or set "
            f"{variable} to the file of a service account's key"
        )
    return None


def kubernetes() -> str | None:
    """Return that the cluster's address and credentials are missing, or None; inside a cluster they are given."""
    inside = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    if os.environ.get("KUBERNETES_SERVICE_HOST") and inside.exists():
        return None
    files = [
        Path(name).expanduser() for name in os.environ.get("KUBECONFIG", "~/.kube/config").split(os.pathsep) if name
    ]
    if any(file.is_file() for file in files):
        return None
    named = " or ".join(map(str, files)) or "a file that KUBECONFIG names, which is empty"
    return (
        f"Kubernetes: expected the cluster's address and credentials in {named}, found no such file. "
        "Set KUBECONFIG to the file that your cluster gives, or write it with your cloud's command for kubectl"
    )


def aws() -> str | None:
    """Return that the credentials of AWS are missing, or None; also where its library is not installed."""
    try:
        session = importlib.import_module("botocore.session")
        exceptions = importlib.import_module("botocore.exceptions")
    except ImportError:
        return None
    try:
        found = session.Session().get_credentials()
        why = "no credentials"
    except exceptions.BotoCoreError as error:
        found, why = None, str(error)
    if found is not None:
        return None
    return f"AWS: expected credentials, found none ({why}). {_set(AWS_KEYS)}"


def _set(keys: tuple[str, str]) -> str:
    """Return how a person gives these keys."""
    file = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    return f"Set the variables {keys[0]} and {keys[1]}, or write {file} (`aws configure`)"
