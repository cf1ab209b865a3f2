"""Credentials are refused wherever a person may write them, and no message repeats them."""

import pytest

from wellspring.screen import config, credentials

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
    ],
)
def test_the_config_refuses_credentials_without_repeating_them(index, where):
    written = {"channels": ["DNA"], "encoders": {"simclr": {"kind": "simclr"}}, "index": index}
    with pytest.raises(ValueError, match="without credentials") as caught:
        config.resolve(written)
    assert str(caught.value).startswith(f"config: {where}: ")
    assert SECRET not in str(caught.value)
