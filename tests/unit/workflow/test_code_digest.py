"""The digest of the code: follows imports, ignores everything but the text."""

import ast
import os
import shutil

import pytest

from wellspring.io import shipped
from wellspring.workflow import code_digest


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Give a small library of its own: a -> b (within a function), package c -> b, plumbing apart."""
    package = tmp_path / "wellspring"
    (package / "c").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "io").mkdir()
    (package / "io" / "__init__.py").write_text("")
    (package / "io" / "tables.py").write_text("")
    (package / "a.py").write_text("from wellspring.io import tables\n\ndef f():\n    from wellspring.b import g\n")
    (package / "b.py").write_text("import numpy\n")
    (package / "c" / "__init__.py").write_text("import wellspring.b\n")
    (package / "c" / "d.py").write_text("from wellspring import c\n")
    monkeypatch.setattr(code_digest, "LIBRARY", tmp_path)
    code_digest.code.cache_clear()
    yield package
    code_digest.code.cache_clear()


def digest(module):
    """Digest a script that imports just `module`."""
    script = code_digest.LIBRARY / "script.py"
    script.write_text(f"import {module}\n")
    code_digest.code.cache_clear()
    return code_digest.code(script)


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("a.py", {"wellspring.a"}),
        ("b.py", {"wellspring.a", "wellspring.b", "wellspring.c", "wellspring.c.d"}),
        ("c/__init__.py", {"wellspring.c", "wellspring.c.d"}),
        ("io/tables.py", set()),
        ("__init__.py", set()),
    ],
)
def test_an_edit_changes_the_digest_of_what_imports_it(library, edited, changed):
    modules = ("wellspring.a", "wellspring.b", "wellspring.c", "wellspring.c.d")
    before = {module: digest(module) for module in modules}
    (library / edited).write_text((library / edited).read_text() + "# edited\n")
    assert {module for module in modules if digest(module) != before[module]} == changed


def test_touch_and_move_change_nothing(library, tmp_path, monkeypatch):
    before = digest("wellspring.c.d")
    os.utime(library / "b.py", (1, 1))
    assert digest("wellspring.c.d") == before
    shutil.copytree(tmp_path, tmp_path / "moved", ignore=shutil.ignore_patterns("moved"))
    monkeypatch.setattr(code_digest, "LIBRARY", tmp_path / "moved")
    assert digest("wellspring.c.d") == before


def test_the_text_of_the_script_counts(library, tmp_path):
    script = tmp_path / "fit.py"
    script.write_text("import wellspring.a\n")
    before = code_digest.code(script)
    script.write_text("import wellspring.a\n# edited\n")
    code_digest.code.cache_clear()
    assert code_digest.code(script) != before
    with pytest.raises(FileNotFoundError, match="lost.py"):
        code_digest.code(tmp_path / "lost.py")


def test_age_sets_scripts_to_the_epoch_and_nothing_else(tmp_path):
    (tmp_path / "fit.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    code_digest.age(tmp_path)
    assert (tmp_path / "fit.py").stat().st_mtime == 0
    assert (tmp_path / "notes.txt").stat().st_mtime > 0


def test_every_import_of_the_real_library_is_found(root):
    """Each script leads to the module that does its work, and to no file outside of the library."""
    for script in sorted((root / "workflow" / "scripts").glob("*.py")):
        found = code_digest.imports(script)
        assert found - code_digest.PLUMBING, script
        assert all(code_digest.LIBRARY in code_digest.source(module).parents for module in found)


def by_parsing(text):
    """Return the names below `wellspring` that a module imports, by its syntax tree."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "wellspring"}


def test_the_names_are_those_of_the_syntax_tree(root):
    files = [*(root / "workflow").rglob("*.py"), *(root / "benchmarks").rglob("*.py"), *(root / "tests").rglob("*.py")]
    assert len(files) > 500
    more = set()
    for file in files:
        names, parsed = code_digest.named(file.read_text()), by_parsing(file.read_text())
        assert names >= parsed, file
        if names > parsed and root / "workflow" in file.parents:
            more.add(file.name)
    assert more == {"section_code.py"}  # code in a string, which it writes


@pytest.mark.parametrize(
    "text",
    [
        "import wellspring.a as x, numpy, wellspring.b\n",
        "from wellspring import a\n",
        "from wellspring.a import (b, c)\nfrom wellspring.d import (\n    e as f,  # why, not\n    # g,\n    h,\n)\n",
        "if x:\n\tfrom wellspring.a import b as c, d  # e\nelse:\n    import wellspring\n",
        "from wellspring.a import b, \\\n    c\n",
        "from wellsprings.a import b\nimport wellspringx\nfrom . import a\nimportant = 1\n",
    ],
)
def test_forms_of_imports(text):
    assert code_digest.named(text) == by_parsing(text)


def test_a_closure_follows_imports_and_leaves_out_names(library):
    script = library.parent / "script.py"
    script.write_text("import numpy\nimport wellspring.a\n")
    names = {path.relative_to(library).as_posix() for path in code_digest.closure(script) - {script}}
    assert names == {"a.py", "b.py", "io/__init__.py", "io/tables.py"}
    rest = code_digest.closure(script, without={"wellspring.b", "wellspring.io.tables"})
    assert rest == code_digest.closure(script) - {library / "b.py", library / "io" / "tables.py"}


def test_sentences_of_reasons_rerun_only_the_rules_whose_results_they_are(root):
    sentences = {file.resolve() for file in shipped.REPORT_WORDING}
    assert {file.stem for file in sentences} >= {"wording", "wording_images", "wording_profiles"}
    rules = (root / "workflow" / "rules" / "report.smk").read_text()
    assert rules.count("*REPORT_WORDING)") == 2
    for script in sorted((root / "workflow" / "scripts").glob("*.py")):
        if script.stem not in ("report", "verdict"):
            assert not sentences & code_digest.closure(script, without=code_digest.PLUMBING), script
