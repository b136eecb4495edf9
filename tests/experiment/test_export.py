"""Exported networks: what is in the file is what the checkpoint had and what the array holds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from run_tools import call, state

import imctrain
from imctrain.errors import UserError
from imctrain.experiment.export import export_run
from imctrain.experiment.network_file import read_network, trained_network
from imctrain.experiment.trained import trained_by_run
from imctrain.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "net.npz"
    export_run(finished, out)
    return out


def test_floats_are_the_checkpoints_bits(finished, exported):
    kept = {name: value for name, value in state(finished).items() if name.partition("/")[0] in ("params", "rest")}
    found = read_network(exported).arrays
    assert {name for name in found if name.partition("/")[0] in ("params", "rest")} == set(kept)
    for name, value in kept.items():
        assert found[name].dtype == value.dtype
        assert found[name].tobytes() == value.tobytes()
    assert not any("telemetry" in name or "optimizer" in name for name in found)


def test_codes_are_those_that_the_array_holds(finished, exported):
    """Against a search of its own, in float64, over clips a fourth of an octave apart from the maximum down."""
    arrays = read_network(exported).arrays
    for site, weight in (("stem", "layers/0"), ("layer1", "layers/1"), ("head", "head")):
        kernel = arrays[f"params/{weight}/dense/kernel/value"].astype(np.float64)
        codes, scale = arrays[f"array/{site}/codes"], float(arrays[f"array/{site}/scale"])
        assert codes.dtype == np.int8
        np.testing.assert_array_equal(codes, np.clip(np.rint(kernel / scale), -7, 7))
        assert float(arrays[f"array/{site}/clip"]) == pytest.approx(7 * scale)
        grid = 2.0 ** (-np.arange(24) / 4) * np.abs(kernel).max() / 7
        errors = [np.sum((np.clip(np.rint(kernel / s), -7, 7) * s - kernel) ** 2) for s in grid]
        assert np.sum((codes * scale - kernel) ** 2) <= 1.002 * min(errors)


def test_codes_are_those_of_the_site(finished, exported):
    run = imctrain.load_run(finished)
    arrays = read_network(exported).arrays
    on_array = imctrain.on_imc(lambda module, images: module(images), run.hardware)
    images = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    states = run.site_states(on_array.init(run.module, images))
    site = on_array.site("stem")
    kernel = arrays["params/layers/0/dense/kernel/value"]
    _, stored = site.encode(jax.numpy.asarray(images.reshape(4, -1)), jax.numpy.asarray(kernel), states["stem"])
    np.testing.assert_array_equal(arrays["array/stem/codes"], stored.codes)
    np.testing.assert_array_equal(arrays["array/stem/scale"], stored.scale)
    assert arrays["array/stem/ranges"].shape == (1,)


def test_the_manifest_says_what_it_is(finished, exported):
    run, found = imctrain.load_run(finished), imctrain.load_export(exported)
    manifest = found.manifest
    assert manifest.test_accuracy == run.result.test_accuracy
    assert manifest.baseline_test_accuracy == run.result.baseline_test_accuracy
    assert manifest.calibration_sha256 == run.result.calibration_sha256
    assert manifest.config_hash == run.result.config_hash
    assert manifest.dataset_content == run.result.dataset_content
    assert [(site.site, site.stored_format, site.driven_format) for site in manifest.sites] == [
        ("stem", "int4", "int4"),
        ("layer1", "int4", "uint4"),
        ("head", "int4", "uint4"),
    ]
    assert (found.config, found.hardware) == (run.config, run.hardware)
    images = np.random.default_rng(1).random((3, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(found.module(images), run.module(images))


def test_a_module_is_the_network_as_it_was_trained(finished):
    """Its accuracy on the test images is the one that the training measured."""
    from imctrain.data import Batches, load

    run = imctrain.load_run(finished / "baseline")
    data = load("digits")
    batch = Batches.evaluation(data.test, len(data.test), mean=data.mean, std=data.std).batch(0, 0)
    accuracy = np.mean(np.argmax(run.module(batch.images), axis=1) == batch.labels)
    assert accuracy == pytest.approx(run.result.best_test_accuracy, abs=1e-6)


def test_both_formats_hold_the_same(finished, exported, tmp_path):
    pytest.importorskip("safetensors")
    out = tmp_path / "net.safetensors"
    export_run(finished, out)
    one, other = read_network(exported), read_network(out)
    assert one.arrays.keys() == other.arrays.keys()
    for name, value in one.arrays.items():
        assert (value.dtype, value.shape) == (other.arrays[name].dtype, other.arrays[name].shape)
        assert value.tobytes() == other.arrays[name].tobytes()
    assert one.manifest.plain() == other.manifest.plain()


def test_without_the_library_a_line_says_so(monkeypatch, capsys, finished, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert call(monkeypatch, "export", finished, "--out", tmp_path / "net.safetensors") == 2
    assert "pip install 'imctrain[export]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_float_run_has_no_codes_and_best_is_not_last(tmp_path, finished):
    """The best checkpoint is the one of the highest accuracy, also in a folder whose run went on."""
    folder = tmp_path / "run"
    shutil.copytree(finished / "baseline", folder)
    config = imctrain.load_run(folder).config
    last = trained_by_run(folder, "last")
    worse = Checkpoints(folder / "checkpoints")
    stored = worse.read(worse.steps[-1])
    position = dict(stored.position) | {"test_accuracy": 0.01, "epoch": config.training.epochs}
    worse.save(99, {"params": {"x": np.ones(3, np.float32)}}, position, 0.01)
    worse.close()
    best = trained_by_run(folder, "best")
    assert (best.step, best.accuracy, best.evaluation) == (last.step, last.accuracy, last.evaluation)
    assert trained_by_run(folder, "last").step == 99
    out = tmp_path / "float.npz"
    manifest = export_run(folder, out)
    assert manifest.sites == ()
    assert not any(name.startswith("array/") for name in read_network(out).arrays)


def test_what_cannot_be_exported_is_one_line(monkeypatch, capsys, finished, exported, tmp_path):
    with pytest.raises(UserError, match="is there already: give another name, or overwrite it with --force"):
        export_run(finished, exported)
    with pytest.raises(UserError, match=r"ends in \.npz or \.safetensors"):
        export_run(finished, tmp_path / "net.pt")
    with pytest.raises(UserError, match="holds no run"):
        export_run(tmp_path, tmp_path / "net.npz")
    (tmp_path / "config.toml").write_text((finished / "config.toml").read_text())
    with pytest.raises(UserError, match="has no checkpoint: train it first"):
        _ = imctrain.load_run(tmp_path).module
    assert call(monkeypatch, "export", finished, "--out", tmp_path / "none" / "net.npz") == 2
    assert "does not exist: create it" in capsys.readouterr().err


def test_damage_is_told(finished, exported, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    newest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    (newest / "sums.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        trained_by_run(folder, "last")

    arrays = dict(np.load(exported))
    arrays["params/head/dense/bias/value"] = arrays["params/head/dense/bias/value"] + 1
    np.savez(tmp_path / "changed.npz", **arrays)
    with pytest.raises(UserError, match="is damaged: its arrays are not what its manifest says"):
        trained_network(tmp_path / "changed.npz")
    (tmp_path / "cut.npz").write_bytes(exported.read_bytes()[:1000])
    with pytest.raises(UserError, match="no npz that can be read"):
        trained_network(tmp_path / "cut.npz")
    with pytest.raises(UserError, match="does not exist: give a run's folder"):
        trained_network(tmp_path / "gone")
    arrays = dict(np.load(exported))
    np.savez(tmp_path / "other.npz", **{name: value for name, value in arrays.items() if name.startswith("array/")})
    with pytest.raises(UserError, match="holds no network"):
        trained_network(tmp_path / "other.npz")


@pytest.mark.slow
def test_kept_networks_of_earlier_versions_fit_their_network(tmp_path):
    """As an `--init` and an evaluation with `--config` take them."""
    experiments = Path(imctrain.__file__).parents[1] / "experiments" / "cifar10"
    trained = trained_network(experiments / "results" / "networks" / "mismatch-seed-0.npz")
    assert (trained.accuracy, trained.evaluation) == (0.7976, 8)
    config = imctrain.load_config(experiments / "resnet6-sweep.toml")
    module = replace(trained, config=config, shape=(32, 32, 3), classes=10).module()
    logits = module(np.zeros((1, 32, 32, 3), np.float32))
    assert logits.shape == (1, 10)
    assert np.isfinite(logits).all()


def test_the_manifest_is_plain_json(exported):
    with np.load(exported) as found:
        manifest = json.loads(str(found["manifest"]))
    assert manifest["schema_version"] == "1.0"
    assert manifest["config"]["model"] == {"name": "mlp", "width": 16, "arguments": {}}
    assert manifest["calibration"]["name"] == "feasible-assumed"
