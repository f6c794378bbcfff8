"""docs/architecture.md names what is there."""

import re

import pytest
from conftest import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()


def test_sparsity_goes_from_the_command_line_to_the_mask_in_at_most_eight_files() -> None:
    """Each file of the list is there, and each but the first reads sparsity or hands its config on."""
    files = re.findall(r"^\d+\. `([\w/.]+)`", TEXT, re.MULTILINE)
    assert 2 < len(files) <= 8
    for name in files:
        assert "sparsity" in (text := (ROOT / name).read_text()) or "config" in text or "cli" in text, name


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`((?:bayes_pruning|hydra_plugins|conf|scripts)/[\w/.]*)`", TEXT)))
)
def test_what_the_page_names_is_there(name: str) -> None:
    assert (ROOT / name).exists()


def test_every_package_is_in_the_table() -> None:
    packages = {path.parent.name for path in (ROOT / "bayes_pruning").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
