"""What a release consists of has one version, and a release with another one is refused before anything is built."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from airflow_provider_vectorize import __version__

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the files that ``make check-release`` reads."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "airflow_provider_vectorize").mkdir()
    (tmp_path / "airflow_provider_vectorize" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    return tmp_path


def check_release(project: Path, tag: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", "check-release", f"TAG={tag}"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_check_release_with_matching_tag_and_date_succeeds(project: Path) -> None:
    (project / "CHANGELOG.md").write_text("## [1.2.3] - 2026-12-01\n")
    assert check_release(project, "v1.2.3").returncode == 0


def test_check_release_with_other_tag_fails(project: Path) -> None:
    (project / "CHANGELOG.md").write_text("## [1.2.3] - 2026-12-01\n")
    result = check_release(project, "v1.2.4")
    assert result.returncode != 0
    assert "The tag v1.2.4 is not the version of the package, v1.2.3." in result.stdout


@pytest.mark.parametrize("changelog", ["## [1.2.3] - unreleased\n", "## [1.2.2] - 2026-12-01\n", ""])
def test_check_release_without_date_in_changelog_fails(project: Path, changelog: str) -> None:
    (project / "CHANGELOG.md").write_text(changelog)
    result = check_release(project, "v1.2.3")
    assert result.returncode != 0
    assert "CHANGELOG.md has no section '## [1.2.3] - YYYY-MM-DD'." in result.stdout


def test_newest_version_of_changelog_is_that_of_the_package() -> None:
    versions = re.findall(r"^## \[(.+)\] - (?:unreleased|\d{4}-\d{2}-\d{2})$", CHANGELOG, re.MULTILINE)
    assert versions[0] == __version__
    assert len(versions) == CHANGELOG.count("\n## ")
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= SECTIONS


def test_citation_names_version_of_the_package() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_bug_report_names_version_of_the_package() -> None:
    assert f"provider {__version__}" in (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text()
