"""Missing credentials of stores and clouds end in one sentence that names the variable and the file."""

import os
import subprocess
import sys
import types

import boto3
import pytest
import yte
from botocore.stub import Stubber

from wellspring.io.shipped import CLONE
from wellspring.workflow import credentials

PREFIX = "s3://bucket/screen"


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """Leave this process no credentials: an empty home, none of the clouds' variables, no service of a machine."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_", "KUBE", "SNAKEMAKE_STORAGE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


@pytest.fixture
def without_google(monkeypatch):
    """Stand in for Google's library, which is no part of the lock: it finds no credentials."""
    auth, exceptions = types.ModuleType("google.auth"), types.ModuleType("google.auth.exceptions")

    class DefaultCredentialsError(Exception):
        pass

    def default():
        raise DefaultCredentialsError("not found")

    exceptions.DefaultCredentialsError, auth.default = DefaultCredentialsError, default
    monkeypatch.setitem(sys.modules, "google.auth", auth)
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", exceptions)


def provider(**keys):
    """Return what has a client of S3 where Snakemake's storage provider has it.

    The session is its own, since the default one keeps the credentials that another test of this process gave it.
    """
    return types.SimpleNamespace(s3c=boto3.session.Session().resource("s3", region_name="us-east-1", **keys))


def test_a_store_without_keys_names_variables_and_file(nobody):
    said = credentials.of_store(provider(), prefix=PREFIX)
    assert said.startswith(f"{PREFIX}: expected credentials of the store, found none")
    assert "SNAKEMAKE_STORAGE_S3_ACCESS_KEY" in said and "SNAKEMAKE_STORAGE_S3_SECRET_KEY" in said
    assert str(nobody / ".aws" / "credentials") in said and "\n" not in said


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_keys_that_the_store_refuses_are_named(code):
    one = provider(aws_access_key_id="wrong", aws_secret_access_key="wrong")
    with Stubber(one.s3c.meta.client) as stub:
        stub.add_client_error("list_objects_v2", service_error_code=code, http_status_code=403)
        said = credentials.of_store(one, prefix=PREFIX)
    assert code in said and "refuses the credentials" in said and "SNAKEMAKE_STORAGE_S3_ACCESS_KEY" in said


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket"])
def test_a_bucket_that_may_not_be_listed_or_is_yet_to_be_made_is_left_to_the_run(code):
    one = provider(aws_access_key_id="right", aws_secret_access_key="right")
    with Stubber(one.s3c.meta.client) as stub:
        stub.add_client_error("list_objects_v2", service_error_code=code)
        assert credentials.of_store(one, prefix=PREFIX) is None


def test_a_store_that_answers_is_asked_for_one_key_below_the_prefix():
    one = provider(aws_access_key_id="right", aws_secret_access_key="right")
    with Stubber(one.s3c.meta.client) as stub:
        stub.add_response("list_objects_v2", {}, {"Bucket": "bucket", "Prefix": "screen", "MaxKeys": 1})
        assert credentials.of_store(one, prefix=PREFIX) is None
        stub.assert_no_pending_responses()


def test_a_store_that_does_not_answer_is_named_with_its_address():
    keys = {"aws_access_key_id": "right", "aws_secret_access_key": "right"}
    one = types.SimpleNamespace(
        s3c=boto3.resource("s3", region_name="us-east-1", endpoint_url="http://127.0.0.1:9", **keys)
    )
    said = credentials.of_store(one, prefix=PREFIX)
    assert "does not answer" in said and "127.0.0.1:9" in said and "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL" in said


def test_another_provider_is_not_asked():
    assert credentials.of_store(types.SimpleNamespace(), prefix="gs://bucket/screen") is None


def test_google_names_variable_file_and_command(without_google, nobody, monkeypatch):
    said = credentials.google()
    assert "GOOGLE_APPLICATION_CREDENTIALS is not set" in said and "gcloud auth application-default login" in said
    assert str(nobody / ".config" / "gcloud" / "application_default_credentials.json") in said
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/keys/absent.json")
    assert "/keys/absent.json, which GOOGLE_APPLICATION_CREDENTIALS names, cannot be used" in credentials.google()


def test_the_cluster_is_found_by_its_file(nobody, monkeypatch):
    assert str(nobody / ".kube" / "config") in credentials.kubernetes()
    monkeypatch.setenv("KUBECONFIG", str(nobody / "mine"))
    assert "KUBECONFIG" in credentials.kubernetes() and str(nobody / "mine") in credentials.kubernetes()
    (nobody / "mine").write_text("apiVersion: v1\n")
    assert credentials.kubernetes() is None


def test_aws_takes_keys_of_variables_and_of_the_file(nobody, monkeypatch):
    said = credentials.aws()
    assert "AWS_ACCESS_KEY_ID" in said and "AWS_SECRET_ACCESS_KEY" in said and str(nobody / ".aws/credentials") in said
    (nobody / ".aws").mkdir()
    (nobody / ".aws" / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    assert credentials.aws() is None
    (nobody / ".aws" / "credentials").unlink()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    assert credentials.aws() is not None  # half of them
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert credentials.aws() is None


@pytest.mark.parametrize(
    ("profile", "words"),
    [("google-batch", "Google Cloud: "), ("kubernetes", "Kubernetes: "), ("aws-batch", "AWS: ")],
)
def test_a_profile_without_credentials_ends_in_one_sentence(profile, words, without_google, monkeypatch):
    text = (CLONE / "profiles" / profile / "config.yaml").read_text()
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    with pytest.raises(SystemExit) as ended:
        yte.process_yaml(text, require_use_yte=True)
    assert str(ended.value).startswith(f"{words}expected ") and "\n" not in str(ended.value)


def test_a_dry_run_needs_the_credentials_of_the_store_only(without_google, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["snakemake", "-n"])
    read = yte.process_yaml((CLONE / "profiles" / "kubernetes" / "config.yaml").read_text(), require_use_yte=True)
    assert read["executor"] == "kubernetes" and "__definitions__" not in read
    with pytest.raises(SystemExit, match="Google Cloud"):
        credentials.demand("gcs", "googlebatch")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    assert credentials.demand("gcs", "googlebatch") is None


def test_snakemake_ends_in_that_sentence_before_it_plans_jobs(nobody):
    """A person's own command line, without a profile; the demo's config."""
    call = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(CLONE / "Snakefile"), "--cores", "1"]
    call += ["--default-storage-provider", "s3", "--default-storage-prefix", PREFIX]
    call += ["--configfile", str(CLONE / "config" / "config.yaml"), "--config", f"plates={CLONE}/config/plates.tsv"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=nobody, check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "Traceback" not in said and "Building DAG" not in said
    assert said.count("expected credentials of the store, found none") == 1
