"""The list of stages: every other list of stages, rules or sections agrees with it."""

import re

import yaml

from wellspring.io import provenance
from wellspring.screen import sections
from wellspring.screen.stages import RULES, SECTIONS, STAGES

IN_REPORT, IN_ALIGN = "verdict", "consensus"  # rules without a file, script folder or line of their own


def rules_of(root):
    """Return the rules by the order in which the root Snakefile includes their files."""
    text = "".join(file.read_text() for file in (root / "Snakefile", root / "workflow" / "Snakefile") if file.exists())
    files = re.findall(r'include: "(?:workflow/)?(?:rules/)?(\w+)\.smk"', text)
    texts = [(root / "workflow" / "rules" / f"{name}.smk").read_text() for name in files]
    return [rule for text in texts for rule in re.findall(r"^rule (\w+):", text, re.M)]


def test_rules_are_the_stages_in_their_order(root):
    assert tuple(rules_of(root)) == RULES
    scripts = {file.stem for file in (root / "workflow" / "scripts").glob("*.py")}
    assert scripts == set(RULES)


def test_the_docstring_of_the_snakefile_lists_the_stages_in_their_order(root):
    texts = [file.read_text() for file in (root / "Snakefile", root / "workflow" / "Snakefile") if file.exists()]
    lines = [re.findall(r"^(\w+) {3,}|^(\w+) +on demand", text.split('"""')[1], re.M) for text in texts]
    listed = [first or second for first, second in max(lines, key=len)]
    assert listed == [rule for rule in RULES if rule not in (IN_REPORT, IN_ALIGN)]


def test_sections_schemas_and_dataclasses_are_those_of_the_stages(root):
    assert {stage.name for stage in STAGES if stage.configured} | {"encoders"} == set(SECTIONS)
    schemas = {file.stem for file in (root / "workflow" / "schemas" / "config").glob("*.yaml")}
    assert schemas == set(SECTIONS) | {"config"}
    config = yaml.safe_load((root / "config" / "config.yaml").read_text())
    assert [key for key in config if key in SECTIONS] == list(SECTIONS)
    assert all(hasattr(sections, name.capitalize()) for name in SECTIONS if name != "encoders")


def test_packages_of_the_provenance_are_of_stages():
    assert set(provenance.PACKAGES) <= set(RULES)
    assert [rule for rule in RULES if rule in provenance.PACKAGES] == sorted(provenance.PACKAGES, key=RULES.index)
