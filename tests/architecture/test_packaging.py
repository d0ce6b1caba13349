"""The wheel built from the sdist: what is in it, and that it runs where nothing else of ours is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"odradek", "nodes", "transport", "supervisor"}
PLACE = "supervisor/shipped_configs"


def run(*words: str | Path, cwd: Path) -> str:
    """Run a program as a stranger would: nothing of this tree on its path."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME")
    }
    done = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, check=False, env=environment, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist of this tree, and the wheel from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it; what it depends on is lent by this one."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"),
        *("--quiet", "--disable-pip-version-check", wheel),
        cwd=folder,
    )
    packages = Path(
        run(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
        ).strip()
    )
    lend_dependencies(packages)
    return folder


def lend_dependencies(packages: Path) -> None:
    """Link the dependencies in, one by one: ours in this environment must not be found."""
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        ours = entry.name.lower().lstrip("_").startswith(("odradek", "editable_impl_odradek"))
        if not ours and not (packages / entry.name).exists() and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)


@pytest.mark.timeout(180)
def test_the_wheel_has_our_packages_the_shipped_configs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        shipped = {
            name.removeprefix(f"{PLACE}/"): archive.read(name)
            for name in names
            if name.startswith(f"{PLACE}/")
        }
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    in_tree = {path.name: path.read_bytes() for path in (ROOT / "configs").iterdir()}
    assert shipped == in_tree
    kinds = {Path(name).suffix for name in names if ".dist-info/" not in name}
    assert kinds <= {".py", ".typed", ".toml", ""}
    assert "odradek/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.timeout(180)
def test_the_wheel_from_the_sdist_has_every_module_of_the_tree(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
    in_tree = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert packed == in_tree


def test_the_sdist_has_what_is_needed_to_test_it(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        tops = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) > 1}
    assert {*PACKAGES, "configs", "tests", "Makefile", "LICENSE", "pyproject.toml"} <= tops


def test_an_editable_install_has_no_copy_that_could_go_stale(tmp_path: Path) -> None:
    code = (
        "import os, sys, hatchling.build; os.chdir(sys.argv[1]);"
        "hatchling.build.build_editable(sys.argv[2])"
    )
    run(sys.executable, "-c", code, ROOT, tmp_path, cwd=tmp_path)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert [Path(name).suffix for name in names] == [".pth"]
        assert archive.read(names[0]).decode().split() == [str(ROOT)]


@pytest.mark.timeout(180)
def test_the_installed_command_runs_and_finds_its_configs(installed: Path) -> None:
    odradek, python = installed / "bin" / "odradek", installed / "bin" / "python"
    assert "examples:" in run(odradek, "--help", cwd=installed)
    assert run(python, "-P", "-m", "supervisor", "--help", cwd=installed).startswith(
        "usage: odradek"
    )
    code = (
        "from supervisor.config_file import load_settings, shipped_configs_dir, shipped_names;"
        "assert shipped_configs_dir().name == 'shipped_configs', shipped_configs_dir();"
        "print(*[load_settings(name).cluster.name for name in shipped_names()])"
    )
    names = run(python, "-P", "-c", code, cwd=installed).split()
    assert sorted(names) == sorted(path.stem for path in (ROOT / "configs").glob("*.toml"))


@pytest.mark.timeout(180)
def test_the_installed_package_is_whole_without_the_tree(installed: Path) -> None:
    code = (
        "import importlib, pkgutil\n"
        "for top in ('transport', 'nodes', 'odradek', 'supervisor'):\n"
        "    package = importlib.import_module(top)\n"
        f"    assert {str(ROOT)!r} not in package.__file__, package.__file__\n"
        "    for info in pkgutil.walk_packages(package.__path__, top + '.'):\n"
        "        if not info.name.endswith('__main__'):\n"
        "            importlib.import_module(info.name)\n"
    )
    run(installed / "bin" / "python", "-P", "-c", code, cwd=installed)


@pytest.mark.integration
@pytest.mark.timeout(180)
def test_a_cluster_starts_from_the_wheel_and_stops(installed: Path, tmp_path: Path) -> None:
    odradek = installed / "bin" / "odradek"
    config = tmp_path / "one.toml"
    config.write_text("[cluster]\nname = 'one'\nbrokers = 1\ncoordinators = 1\n")
    place = ("--data-dir", str(tmp_path / "data"))
    try:
        run(odradek, "start", str(config), "--detach", *place, cwd=installed)
        status = json.loads(run(odradek, "status", "--json", *place, cwd=installed))
        assert [node["state"] for node in status["nodes"]] == ["ready", "ready"]
    finally:
        run(odradek, "stop", *place, cwd=installed)
