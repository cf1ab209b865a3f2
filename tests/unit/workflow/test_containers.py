"""Images of jobs: which one an environment takes, what is missing, and the folders that a container must show."""

from pathlib import Path

import pytest

from wellspring.io.version import __version__
from wellspring.workflow import containers


@pytest.mark.parametrize(
    ("environment", "target"),
    [("core", "core"), ("harmony", "harmony"), ("cells", "full"), ("torch", "full"), ("export", "full")],
)
def test_an_environment_takes_the_image_that_has_it(environment, target):
    path = f"../../envs/{environment}.yaml"
    assert containers.image(path, where="/images") == f"/images/wellspring-{target}.sif"
    assert (
        containers.image(path, where="docker://store/wellspring/")
        == f"docker://store/wellspring:{__version__}-{target}"
    )


def test_images_are_beside_the_screen_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert containers.image("core", where=None) == str(tmp_path / "containers" / "wellspring-core.sif")


def test_an_image_that_is_not_there_is_named_once(tmp_path):
    there, absent = tmp_path / "wellspring-core.sif", tmp_path / "wellspring-full.sif"
    there.write_bytes(b"")
    (line,) = containers.missing([str(there), str(absent), str(absent), "docker://store/wellspring:1-core"])
    assert line.startswith(f"{absent}: expected the image of a job, found none. Build it with envs/image.sh")


def test_a_container_shows_what_jobs_read_outside_of_the_working_directory(tmp_path, monkeypatch):
    clone, images, here = tmp_path / "clone", tmp_path / "disk" / "P1", tmp_path / "screen"
    for folder in (clone, images, here / "config", tmp_path / "maps"):
        folder.mkdir(parents=True)
    (tmp_path / "maps" / "P1.csv").write_text("well\n")
    (here / "config" / "P2.csv").write_text("well\n")
    (tmp_path / "link").symlink_to(images)
    monkeypatch.chdir(here)
    read = [str(tmp_path / "link"), f"{tmp_path}/maps/P1.csv", "config/P2.csv", "s3://bucket/P3", "/absent/P4", ""]
    shown = containers.binds(clone, read, given="/own:/own").split(",")
    # The link, what it points to, the platemap's folder and the clone; read-only, each under its own path.
    wanted = sorted([clone, images, tmp_path / "link", tmp_path / "maps"])
    assert shown == ["/own:/own", *(f"{path}:{path}:ro" for path in wanted)]
    assert containers.binds(clone, read, given=",".join(shown)).split(",") == shown  # in a job's own process


def test_a_folder_within_a_shown_one_is_not_shown_twice(tmp_path, monkeypatch):
    (tmp_path / "clone" / "resources").mkdir(parents=True)
    (tmp_path / "screen").mkdir()
    monkeypatch.chdir(tmp_path / "screen")
    clone = tmp_path / "clone"
    assert containers.binds(clone, [str(clone / "resources")]) == f"{clone}:{clone}:ro"


def test_a_file_in_the_root_is_shown_without_the_root(tmp_path, monkeypatch):
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert containers.binds(tmp_path / "clone", ["/absent.csv"]) == "/absent.csv:/absent.csv:ro"


def test_files_that_the_config_names_are_found_at_any_depth(tmp_path):
    (tmp_path / "flat").mkdir()
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"")
    config = {
        "seed": 1,
        "index": {"pattern": r"(?P<well>[A-P]\d{2})/f\.tif", "moved": {"/old": str(tmp_path)}},
        "illumination": {"given": f"{tmp_path}/flat/{{optics}}_{{channel}}.npy"},
        "encoders": {"a": {"weights": {"path": str(weights), "sha256": "0"}}},
        "lists": [["/"], "s3://bucket/x", "/absent/file"],
    }
    assert containers.files_of(config) == [str(tmp_path), str(tmp_path / "flat"), str(weights)]


@pytest.mark.parametrize("name", ["week 1, day 2", "10:30"])
def test_a_folder_that_cannot_be_shown_is_refused_by_its_name(tmp_path, monkeypatch, name):
    for folder in ("clone", "screen", name):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "screen")
    with pytest.raises(ValueError, match=f"without comma and colon for jobs in containers, found .*{name}"):
        containers.binds(tmp_path / "clone", [str(tmp_path / name)])


def test_texts_that_are_no_paths_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"pattern": "x/" + 300 * "a", "loop": "self/x"}
    (tmp_path / "self").symlink_to("self")
    assert containers.files_of(config) == []
    assert containers.binds(tmp_path, list(config.values())) == ""
