"""The tables that are taken away, by LibreOffice's converter: the same rows and values, and no formula is run."""

import shutil
import subprocess

import pandas as pd
import pytest

from wellspring.report.takeaway import files

HOSTILE = ["=1+1", "@SUM(A1)", "-3", "a,b;c", 'say "x"', "µM → 10", "007", "(-)-nicotine", "x\ty", "1e5"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    count = len(HOSTILE)
    return pd.DataFrame(
        {
            "treatment": HOSTILE,
            "dose": [10.0 ** (number - 5) for number in range(count)],
            "q": [None if number % 3 == 0 else 1.234567e-9 * 10**number for number in range(count)],
            "active": ["yes" if number % 2 else "not tested" for number in range(count)],
            "replicates": range(count),
        }
    )


@pytest.fixture(scope="module")
def converted(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Return the table as LibreOffice reads it from the CSV file, and from the workbook."""
    program = shutil.which("soffice") or shutil.which("libreoffice")
    if program is None:
        pytest.skip("LibreOffice is not installed (apt-get install libreoffice-calc)")
    folder = tmp_path_factory.mktemp("office")
    for kind in ("csv", "xlsx"):
        (folder / kind).mkdir()
    files.write_csv(table, folder / "csv" / "hits.csv")
    files.write_workbook({"hits": table, "similar": table.head(2)}, folder / "xlsx" / "hits.xlsx")
    found = {}
    for kind, extra in (("csv", ["--infilter=Text - txt - csv (StarCalc):44,34,76,1"]), ("xlsx", [])):
        out = folder / f"from_{kind}"
        command = [program, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", *extra]
        command += ["--convert-to", "xlsx", "--outdir", str(out)]
        source = folder / kind / f"hits.{kind}"
        done = subprocess.run([*command, str(source)], capture_output=True, text=True, timeout=300, check=False)
        assert (out / "hits.xlsx").is_file(), done.stdout + done.stderr
        found[kind] = pd.read_excel(out / "hits.xlsx", dtype={"treatment": str})
    return found


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_libreoffice_reads_rows_numbers_and_texts(converted: dict[str, pd.DataFrame], table: pd.DataFrame, kind: str):
    found = converted[kind]
    assert list(found.columns) == list(table.columns) and len(found) == len(table)
    for name in ("dose", "q", "replicates"):
        assert found[name].to_numpy(dtype=float) == pytest.approx(
            table[name].to_numpy(dtype=float), rel=1e-5, nan_ok=True
        )
    assert found["active"].tolist() == table["active"].tolist()
    wanted = ["'=1+1", "'@SUM(A1)", *HOSTILE[2:]]
    if kind == "csv":  # a file without types: LibreOffice reads a text of digits as a number
        wanted = [{"007": "7", "1e5": "100000"}.get(text, text) for text in wanted]
    assert found["treatment"].tolist() == wanted
