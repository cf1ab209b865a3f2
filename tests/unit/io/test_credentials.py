"""Credentials are refused wherever a person may write them, and no message repeats them."""

import time

import pytest

from wellspring.io import credentials
from wellspring.screen import config

SECRET = "wJalrXUtnFEMI"
URL = f"https://key:{SECRET}@minio.example.org"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        f"s3://{SECRET}@bucket/P1",
        f"https://key:{SECRET}/K7@minio.example.org:9000",
        f"https://host/P1?X-Amz-Signature={SECRET}",
        f"https://host/P1?sv=2022&sig={SECRET}",
        f"https://host/P1?a=1&access_token={SECRET}",
        f"key:{SECRET}@minio.example.org:9000",
        f"DefaultEndpointsProtocol=https;AccountName=screens;AccountKey={SECRET}==;EndpointSuffix=core.windows.net",
        f"BlobEndpoint=https://x.blob.core.windows.net;SharedAccessSignature=sv=2022&sig={SECRET}",
        f"Endpoint=sb://x/;SharedAccessKeyName=root;SharedAccessKey={SECRET}=",
        f"sv=2022-11-02&ss=b&sp=rl&sig={SECRET}%3D",
        f"Server=db;Uid=me;Pwd={SECRET};",
        f"host=db user=me password={SECRET}",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"aws_session_token = {SECRET}",
        f"dbPassword={SECRET}",
        f"secret_key: {SECRET}",
        f'{{"client_secret": "{SECRET}"}}',
        f"Authorization: Bearer {SECRET}",
        f"Bearer {SECRET}{SECRET}",
        f"basic {SECRET}",
        f"//me:{SECRET}@server/share/P1",
        f"//me:{SECRET}/K7@server/share/P1",
        f"mount --password {SECRET} //server/share",
        f"tool --secret-key {SECRET}",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + 36 * "a",
        "hf_" + 34 * "a",
        "AIza" + 35 * "b",
        "xoxb-123456789012-abcdef",
        "-----BEGIN RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        86 * "a" + "==",
        f"MYPASSWORD={SECRET}",
        f"mypassword: {SECRET}",
        f"token: {SECRET}",
        "access_token: blue",
        "https://host/P1?token=abcdef",
        "https://host/P1?a=1&token=123456",
    ],
)
def test_credentials_are_found(text):
    assert credentials.found_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://minio.example.org:9000",
        "https://minio.example.org:9000/plate@2/images",
        "s3://bucket/plate@2",
        "someone@example.org",
        "https://host/P1?signed=no",
        "/data/P1:2@x",
        "mailto:someone@example.org",
        "the signature of the compound",
        "signature: hallmark",
        r"(?P<token>[A-Z]+)_(?P<well>[A-Z][0-9]+)\.tif",
        r"^(Cells|secretory)_.*",
        "PathName_Token",
        "Metadata_Key=Well",
        "password",
        "https://host/P1?key=P1",
        "s3://cellpainting-gallery/cpg0016-jump",
        "risk-tolerant: yes",
        "Basic fibroblast growth factor",
        "basic helix-loop-helix",
        "//server/share/P1:2",
        "no-token plates",
        "2024-01-01T10:00:00",
        "token: blue",
        "tokens = 3",
        "Storage key: box 3",
        "C:\\keys\\P1",
        7,
        None,
    ],
)
def test_other_texts_are_not_credentials(text):
    assert not credentials.found_in(text)


@pytest.mark.parametrize(
    ("index", "where"),
    [
        ({"object_store": {"endpoint": URL}}, "index.object_store.endpoint"),
        ({"loaddata": f"{URL}/{{plate}}.csv"}, "index.loaddata"),
        ({"roots": ["/data", f"{URL}/b"]}, "index.roots[1]"),
        ({"roots": URL}, "index.roots"),
        ({"channels": {URL: "w1"}}, "index.channels: a key"),
        ({"unknown": {"deep": [{"url": URL}]}}, "index.unknown.deep[0].url"),
        ({"object_store": {"secret_key": SECRET}}, "index.object_store.secret_key"),
        ({"object_store": {"endpoint": f"AccountName=a;AccountKey={SECRET}"}}, "index.object_store.endpoint"),
    ],
)
def test_the_config_refuses_credentials_without_repeating_them(index, where):
    written = {"channels": ["DNA"], "encoders": {"simclr": {"kind": "simclr"}}, "index": index}
    with pytest.raises(ValueError, match="without credentials") as caught:
        config.resolve(written)
    assert str(caught.value).startswith(f"config: {where}: ")
    assert SECRET not in str(caught.value)


def test_what_is_left_without_credentials_has_none():
    written = {"a": [URL, "x", {"password": SECRET, "user": "me"}], URL: 1, "b": {"c": f"token={SECRET}", "d": 2}}
    assert credentials.without(written) == {"a": ["x", {"user": "me"}], "b": {"d": 2}}
    assert not list(credentials.problems(credentials.without(written)))


@pytest.mark.parametrize("length", [10, 100_000])
def test_long_texts_take_no_time(length):
    started = time.process_time()
    for text in ("a_" * length, "key " * length, "://" + "a:" * length, "sig" * length, "eyJ" * length):
        credentials.found_in(text)
    assert time.process_time() - started < 20
