"""Credentials in what other programs say are masked, and tables that a person writes with them are refused."""

import logging
import random
import string
import subprocess
import sys

import openpyxl
import pytest

from wellspring.io import credentials, notes
from wellspring.screen import exclusions, platemap
from wellspring.workflow import failures
from wellspring.workflow.finding import Finding

FORMS = [  # {s}: the secret; {u}: a user; {h}: a host
    "https://{u}:{s}@{h}/P1", "s3://{s}@bucket/P1", "{u}:{s}@{h}:/path", "{u}:{s}@nas:/volume1/P1",
    "//{u}:{s}@nas/share", "https:/{u}:{s}@{h}/x", "Authorization: Digest {s}",
    "ftp://{u}:{s}@10.0.0.7:21/x", "{u}:{s}@10.1.2.3", "sshfs {u}:{s}@{h}:~/x", "pass={s}", "pass = {s}", "pw={s}",
    "password: {s}", "password={s}", "Passwort: {s}", "passwd='{s}'", '"password": "{s}"', "pwd={s};Server=x",
    "DB_PASSWORD={s}", "--password {s}", "--secret-key {s}", "token={s}", "https://{h}/P1?token={s}&x=1",
    "https://{h}/a?b=2&access_token={s}", "https://{h}/a?X-Amz-Security-Token={s}&X-Amz-Signature={s}",
    "https://{h}/a?sv=2022&sig={s}", "https://{h}/a?key={s}{s}", "https://{h}/a?auth={s}{s}#top", "api_key: {s}",
    "Authorization: Bearer {s}", "bearer {s}", "AccountName=x;AccountKey={s}==", "aws_secret_access_key = {s}",
    "credentials={s}", "client_secret: '{s}'", "curl -s -u {u}:{s} https://x.org",
    "password\uff1a{s}", "wachtwoord={s}", "\u5bc6\u7801: {s}", "\u043f\u0430\u0440\u043e\u043b\u044c: {s}",
    "ghp_{s}{s}", "hf_{s}{s}", "sk-{s}{s}", "glpat-{s}{s}",
]  # fmt: skip
AROUND = ["{}", "OSError: cannot open {}: Forbidden", "[Errno 13] ({})", "tried '{}', twice", "a,b;{} and more"]


def drawn(seed):
    """Return a text with a drawn secret, the secret, and the text around it."""
    chance = random.Random(seed)
    letters = string.ascii_letters + string.digits
    secret = "X9" + "".join(chance.choices(letters, k=chance.choice([10, 12, 20]))) + "q7Z"
    user = "".join(chance.choices(string.ascii_lowercase, k=5))
    host = chance.choice(["minio.example.org", "nas.lab", "store.uni-x.ch:9000"])
    form = FORMS[seed % len(FORMS)].format(
        s=secret, u=user, h=host if ":/" not in FORMS[seed % len(FORMS)][6:] else host.split(":")[0]
    )
    before, after = chance.choice(AROUND).split("{}")
    return before + form + after, secret, (before, after)


@pytest.mark.parametrize("seed", range(len(FORMS) * 8))
def test_no_drawn_secret_stays_in_a_text(seed):
    text, secret, (before, after) = drawn(seed)
    masked = credentials.redacted(text)
    assert secret not in masked, text
    assert credentials.MASK in masked
    assert not credentials.found_in(masked)
    assert credentials.redacted(masked) == masked
    assert masked.startswith(before[:10])  # what is around it stays


@pytest.mark.parametrize(
    "text",
    [
        "P1: 384 wells, 9 sites, channel DNA", "pass: 3 of 4", "pass=yes", "first pass: segmentation",
        "x@0.5 and y@10.0", "Contact:anna@example.org", "e-mail:anna.m@uni-x.ch, Bonn",
        "siRNA:KIF11@0.5", "A:B@12", "2024-01-01T10:00:00 INFO wellspring.index: P1", "C:\\data\\P1", "s3://bucket/P1@2",
        "https://minio.example.org:9000/P1", "token ring", "Basic fibroblast growth factor", "key=P1&plate=3",
        "a ratio of 1:2@37C", "author@example.org", "WARNING wellspring.io: path /a/b:c@d",
        "snakemake --cores all --config x=1", "sigma=0.25", "BRD-K12345678-001-01-1", "tokens: 256", "n=8, p=0.03",
    ],
)  # fmt: skip
def test_other_texts_stay_as_they_are(text):
    assert credentials.redacted(text) == text


def test_lines_without_a_secret_stay_beside_one_with_it():
    assert credentials.redacted("a\npassword=hunter2x\nb: 3") == "a\npassword=***\nb: 3"


def test_logs_terminal_and_failures_of_a_job_have_no_secret(tmp_path):
    code = (
        "import logging, sys, warnings\nfrom wellspring.workflow.log import log_to\n"
        "log_to('results/logs/index/P1.log')\n"
        "logging.getLogger('wellspring').info('open https://me:hunter2secret@minio.example.org/x')\n"
        "print('password: hunter2secret')\nwarnings.warn('token=hunter2secret')\n"
        "raise OSError('me:hunter2secret@nas:/volume1 is not mounted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    log = tmp_path / "results/logs/index/P1.log"
    assert done.returncode == 1
    for text in (done.stdout, done.stderr, log.read_text()):
        assert "hunter2secret" not in text
    assert "OSError: ***@nas:/volume1 is not mounted" in done.stderr
    assert "minio.example.org/x" in log.read_text()
    log.write_text("OSError: me:hunter2secret@nas:/volume1 is not mounted\n")
    failed = failures.Failure("index", {"plate": "P1"}, [str(log)], str(tmp_path / "x"))
    rows = failures.update(tmp_path / "failures.tsv", [failed], names=["P1"])
    assert rows["reason"].tolist() == ["OSError: ***@nas:/volume1 is not mounted"]
    assert "hunter2secret" not in (tmp_path / "failures.tsv").read_text()


def test_notes_and_findings_have_no_secret():
    note = notes.Note("unreadable", {"detail": "https://h.example.org/a?token=hunter2secret: 403", "count": 2})
    assert str(note) == 'unreadable(detail="https://h.example.org/a?token=***: 403", count=2)'
    assert Finding("problem", "plate P1", "pass=hunter2secret").words == "pass=***"


@pytest.mark.parametrize(
    "cell", ["me:hunter2secret@nas:/volume1", "password: hunter2secret", "https://h.org/a?token=hunter2secret"]
)
def test_platemaps_and_lists_of_exclusions_with_a_secret_are_refused_with_their_line(cell, tmp_path):
    (tmp_path / "map.csv").write_text(f"well,compound,note\nA01,DMSO,\nA02,taxol,{cell}\n")
    (tmp_path / "grid.csv").write_text(f"compound,1,2\nA,DMSO,x\nB,y,{cell}\n")
    book = openpyxl.Workbook()
    for row in (("well", "compound", "note"), ("A01", "DMSO", cell)):
        book.active.append(row)
    book.save(tmp_path / "map.xlsx")
    for name, line in (("map.csv", 3), ("grid.csv", 3), ("map.xlsx", 2)):
        with pytest.raises(ValueError, match=rf"{name}.*line {line}: expected a value without credentials") as error:
            platemap.read(tmp_path / name, plate="P1")
        assert "hunter2secret" not in str(error.value)
    (tmp_path / "out.csv").write_text(f"plate,well,site,verdict,reason\nP1,A01,,exclude,{cell}\n")
    with pytest.raises(ValueError, match=r"out\.csv: line 2: expected a value without credentials"):
        exclusions.read(tmp_path / "out.csv")


def test_commands_print_no_secret(tmp_path):
    call = [sys.executable, "-m", "wellspring", "init", "https://me:hunter2secret@minio.example.org/x"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "hunter2secret" not in done.stdout + done.stderr
    assert "***@minio.example.org/x" in done.stderr


def test_a_masking_stream_is_otherwise_the_stream(tmp_path):
    with (tmp_path / "x.txt").open("w") as file:
        stream = credentials.masking(file)
        assert stream.write("pass=hunter2secret\n") == 19
        stream.writelines(["a\n", "token=hunter2secret\n"])
        assert stream.fileno() == file.fileno()
        handler = logging.StreamHandler(stream)
        handler.emit(logging.makeLogRecord({"msg": "pw=hunter2secret"}))
    assert (tmp_path / "x.txt").read_text() == "pass=***\na\ntoken=***\npw=***\n"


def test_a_credential_in_an_argument_of_its_own_is_masked(tmp_path):
    """`print` writes every argument alone; what is not yet a line is written by flush."""
    path = tmp_path / "log"
    with path.open("w") as file:
        stream = credentials.masking(file)
        print("password:", "hunter2sEcret", file=stream)
        print("progress", 3, end="\r", file=stream)
        print("token=", "abc123def456ghi", sep="", end="", file=stream)
        assert "hunter2sEcret" not in path.read_text()
        stream.flush()
        assert "progress 3" in path.read_text()
    assert "hunter2sEcret" not in path.read_text()
    assert "abc123def456ghi" not in path.read_text()
