"""`imctrain data verify`: what was imported is there, image by image; any damage is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_archives import small_tree, write_tree
from typer.testing import CliRunner

from imctrain.cli.data import app
from imctrain.data import cache, load
from imctrain.data.checking import check_prepared
from imctrain.data.dataset import PixelDigest
from imctrain.data.importing import import_dataset
from imctrain.errors import UserError


@pytest.fixture
def home(tmp_path):
    tree = write_tree(tmp_path / "t", small_tree(splits=("train", "val", "test")))
    import_dataset("mine", tree, data_dir=tmp_path / "home")
    return tmp_path / "home"


def test_a_digest_is_of_images_splits_and_labels_in_any_order():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 1), dtype=np.uint8)

    def digest(rows, split="train", label=0):
        found = PixelDigest()
        for row in rows:
            found.add(split, label, images[row])
        return found.hexdigest()

    assert digest([0, 1, 2]) == digest([2, 0, 1])
    others = [
        digest([0, 1, 3]),
        digest([0, 1]),
        digest([0, 1, 2, 2]),
        digest([0, 1, 2], "test"),
        digest([0, 1, 2], label=1),
    ]
    assert len({digest([0, 1, 2]), *others}) == 6


def test_what_was_imported_is_verified(home):
    found = check_prepared("mine", home)
    assert (
        found == "6 train and 6 test and 6 validation images can be decoded, and are those that were imported; no cache"
    )
    load("mine", home)
    assert check_prepared("mine", home).endswith("; its cache is whole")
    assert check_prepared("digits", home) == "comes with an installed package"


@pytest.mark.parametrize("file", ["train", "test", "validation"])
def test_changed_caches_are_told_and_not_read_as_whole(home, file):
    load("mine", home)
    (path,) = (home / cache.FOLDER).glob(f"*/{file}_images.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"its decoded cache is damaged: delete .*, it is made again"):
        check_prepared("mine", home)


def test_other_images_than_were_imported_are_told(home):
    facts = home / "mine" / "1.0.0" / "metadata.json"
    kept = json.loads(facts.read_text())
    facts.write_text(json.dumps(kept | {"pixels": "0" * 64}))
    with pytest.raises(UserError, match="its images are others than were imported"):
        check_prepared("mine", home)
    facts.write_text(json.dumps({key: value for key, value in kept.items() if key != "pixels"}))
    assert "can be decoded; no cache" in check_prepared("mine", home)


def test_the_command_checks_all_and_fails_at_damage(home):
    run = CliRunner().invoke
    done = run(app, ["verify", "--data-dir", str(home)])
    assert done.exit_code == 0, done.output
    assert "mine: 6 train and 6 test and 6 validation images can be decoded" in done.output
    (records,) = (home / "mine" / "1.0.0").glob("*train*record*")
    content = bytearray(records.read_bytes())
    content[len(content) // 8] ^= 0xFF
    for at in range(64, len(content), 97):
        content[at] ^= 0x55
    records.write_bytes(content)
    done = run(app, ["verify", "mine", "--data-dir", str(home)])
    assert isinstance(done.exception, UserError)
    assert "mine: DAMAGED: the records in" in done.output
    missing = run(app, ["verify", "nothing", "--data-dir", str(home)])
    assert isinstance(missing.exception, UserError)
    empty = run(app, ["verify", "--data-dir", str(home / "empty")])
    assert (empty.exit_code, empty.output) == (0, "no data set is prepared\n")
