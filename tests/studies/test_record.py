"""Recordings of gradient MVMs: what is read at the sites, what of it is sampled, and the file it goes to."""

from __future__ import annotations

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from imc_sites import IDENTITY, UNSIGNED, conv_site, dot_site, hardware, integer_operands, levels
from run_tools import TINY, call, write

from imctrain.data import load
from imctrain.errors import UserError
from imctrain.experiment.setup import set_up
from imctrain.imc.coding.levels import encode_gradient
from imctrain.imc.engines.kernels import digital, exact
from imctrain.imc.site.forward import run_forward
from imctrain.imc.site.mvms import SiteMvms
from imctrain.intercept import on_imc
from imctrain.models.layers import BATCH_NORM_EPSILON
from imctrain.settings import AdcSpec, ArraySpec, FormatSpec, NoiseSpec, frozen_imc, load_config
from imctrain.studies import record, sampling
from imctrain.studies.mapping_snr import encode, plan_of
from imctrain.studies.recording import MvmRecord, load_recording, save_recording
from imctrain.studies.sampling import MOST, Sampler
from imctrain.training.loop import make_batches
from imctrain.training.position import Position

SEED = jnp.zeros(2, jnp.uint32)


def by_hand(params, images, labels, added):
    """The mlp of `TINY` in training mode, written out: {site: (lhs, rhs)} and the loss."""
    operands = {}

    def product(site, x, w):
        operands[site] = (x, w)
        return x @ w + added[site]

    x = images.reshape(len(images), -1)
    for number, site in enumerate(("stem", "layer1")):
        layer = params["layers"][number]
        y = product(site, x, layer["dense"]["kernel"])
        mean, variance = jnp.mean(y, axis=0), jnp.var(y, axis=0)
        y = (y - mean) / jnp.sqrt(variance + BATCH_NORM_EPSILON)
        x = jnp.maximum(y * layer["norm"]["scale"] + layer["norm"]["bias"], 0.0)
    head = params["head"]["dense"]
    logits = product("head", x, head["kernel"]) + head["bias"]
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(loss), operands


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(config, setup, batches) of the tiny experiment in float."""
    config = load_config(write(tmp_path_factory.mktemp("record")), ["imc.path=float", "baseline=false"])
    dataset = load("digits")
    return config, set_up(config, dataset), make_batches(config, dataset)[0]


@pytest.mark.slow
def test_what_is_recorded_agrees_with_a_network_written_by_hand(tiny):
    config, setup, train = tiny
    function = record.array_function(config, setup)
    position = Position(epoch=1, step=2)
    found = record.reader(config, setup, function)(setup.steps.initial, train, position)
    batch = train.batch(1, 2)
    zeros = {name: jnp.zeros(met.gradient.shape) for name, met in found.items()}
    params = jax.tree.map(jnp.asarray, setup.network.params.to_pure_dict())
    (_, operands), gradients = jax.value_and_grad(by_hand, argnums=3, has_aux=True)(
        params, jnp.asarray(batch.images), jnp.asarray(batch.labels), zeros
    )
    assert set(found) == {"stem", "layer1", "head"}
    for name, met in found.items():
        assert met.gradient.dtype == jnp.float32
        assert np.abs(met.gradient).max() > 0
        for got, expected in zip(met, (*operands[name], gradients[name]), strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-6)


@pytest.mark.slow
def test_on_its_sites_the_backward_rule_gets_what_is_recorded(tiny):
    """The largest gradient that a site saw is in its telemetry."""
    config, setup, train = tiny
    config = config.model_copy(update={"imc": config.imc.model_copy(update={"path": "digital"})})
    setup = set_up(config, load("digits"))
    state, batch = setup.steps.initial, train.batch(0, 0)
    found = record.reader(config, setup, setup.steps.function)(state, train, Position())

    @jax.jit
    def largest_seen(found):
        seen = {}
        for name, met in found.items():
            site = setup.steps.function.site(name)
            out = functools.partial(site.apply, met.lhs, met.rhs, key=jax.random.key(0))
            _, pullback = jax.vjp(lambda s, out=out: out(state=s), state.sites[name])
            seen[name] = pullback(met.gradient)[0].telemetry.largest_gradient
        return seen

    for name, largest in largest_seen(found).items():
        assert largest == np.abs(found[name].gradient).max()
    images = batch.images.reshape(len(batch.images), -1)
    np.testing.assert_array_equal(found["stem"].lhs, images)


def test_a_site_in_a_loop_is_refused_by_name():
    def loop(w, x):
        with jax.named_scope("inner"):
            return jax.lax.scan(lambda h, _: (h @ w, None), x, length=2)[0]

    w, x = jnp.ones((4, 4)), jnp.ones((2, 4))
    function = on_imc(loop, hardware())
    with pytest.raises(UserError, match=r"^site inner.* runs in a loop"):
        function.tapped(w, x, key=jax.random.key(0), added={"inner": jnp.zeros((2, 4))})


def everything_of(site, mvm, g, stored, rows):
    """A record of all of an MVM, with scales of one."""
    plan = next(plan for plan in site.mvms if plan.name == mvm)
    none = jnp.zeros(plan.passes)
    sampler = Sampler((0,), budget=10**9)
    site.gradient_mvm(mvm, sampler, g, stored, none, SEED)
    s = sampler.sample
    sizes = (plan.groups, plan.vectors, plan.contraction, plan.outputs)
    return MvmRecord(0, "", mvm, s.driven, s.stored, 1.0, 1.0, True, 0.0, s.tile, s.of_tiles, rows, *sizes)


# 36 rows of both gradient MVMs make two tiles of 18, which hold two channels of nine kernel positions each.
@pytest.mark.slow
@pytest.mark.parametrize("mvm", ["input_grad", "weight_grad"])
@pytest.mark.parametrize("kind", ["conv", "dot"])
def test_a_sample_of_everything_is_the_mvm_tile_by_tile(kind, mvm, monkeypatch):
    monkeypatch.setattr(sampling, "MOST", 10**6)
    rng = np.random.default_rng(1)
    spec = hardware(array=ArraySpec(rows=20), adc=AdcSpec(bits=8), formats=IDENTITY)
    if kind == "conv":
        x, w = integer_operands(rng, (4, 5, 5, 3), (3, 3, 3, 4))
        site = conv_site(x, w, spec, (2, 2), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
        g = levels(rng, (4, 3, 3, 4))
    else:
        x, w = integer_operands(rng, (36, 7), (7, 36))
        site = dot_site(36, 7, 36, spec)
        g = levels(rng, (36, 36))
    g, stored = jnp.asarray(g), jnp.asarray(x if site.gradient_side(mvm) == "lhs" else w)
    kept = everything_of(site, mvm, g, stored, 20)
    assert (kept.tile, kept.of_tiles) == (18, 2)
    whole = site.gradient_mvm(mvm, digital, g, stored, jnp.ones(3), SEED).product
    product = np.einsum("gmk,gnk->gmn", kept.driven, kept.stored)
    np.testing.assert_array_equal(np.sort(product.ravel()), np.sort(np.asarray(whole).ravel()))
    # Without noise, conversions round alike if the same rows share a column in every tile.
    whole = site.gradient_mvm(mvm, exact, g, stored, jnp.full(3, 0.5), SEED).product
    sample = exact.matmul(
        jnp.asarray(kept.driven), jnp.asarray(kept.stored), plan_of(kept, spec), jnp.full(3, 0.5), SEED
    ).product
    np.testing.assert_allclose(np.sort(sample.ravel()), np.sort(np.asarray(whole).ravel()), rtol=1e-6)


def test_a_sample_keeps_whole_tiles_within_its_budget():
    site = dot_site(5000, 300, 200, hardware())
    g, x = jnp.ones((5000, 200)), jnp.ones((5000, 300))
    sampler = Sampler((0,), budget=24_000)
    site.gradient_mvm("weight_grad", sampler, g, x, jnp.zeros(3), SEED)
    sample = sampler.sample
    assert (sample.tile, sample.of_tiles) == (1000, 5)
    assert sample.driven.shape == (1, 12, 1000)
    assert sample.stored.shape == (1, 12, 1000)
    site = dot_site(100, 64, 200, hardware())
    sampler = Sampler((0,), budget=24_000)
    site.gradient_mvm("input_grad", sampler, jnp.ones((100, 200)), jnp.ones((64, 200)), jnp.zeros(3), SEED)
    assert sampler.sample.driven.shape == (1, MOST, 200)


@pytest.fixture(scope="module")
def recorded(finished, tmp_path_factory):
    """The file that `imctrain record` makes of the tiny run, and what was printed."""
    file = tmp_path_factory.mktemp("recorded") / "deep" / "gradients.npz"
    with pytest.MonkeyPatch.context() as patch:
        assert (
            call(patch, "record", "--run", finished, "--out", file, "--step", "0", "--step", "21", "--step", "24") == 0
        )
    return file


def test_the_command_records_a_run(finished, recorded):
    assert recorded.stat().st_size < 500_000
    found = load_recording(recorded)
    result = json.loads((finished / "result.json").read_text())
    assert found.about["config_hash"] == result["config_hash"]
    assert found.about["steps"] == [0, 21, 24]
    assert found.about["epochs"] == [0.0, pytest.approx(21 / 8), 3.0]
    assert found.about["sites"] == ["stem", "layer1", "head"]
    # The stem's input is data: no gradient flows into it.
    mvms = {(r.site, r.mvm) for r in found.records}
    both = {(site, mvm) for site in ("layer1", "head") for mvm in ("input_grad", "weight_grad")}
    assert mvms == both | {("stem", "weight_grad")}
    assert len(found.records) == 3 * 5
    for r in found.records:
        assert np.abs(r.driven).max() <= 4096
        assert r.signal > 0
    first, last = (found.of(step, "layer1", "weight_grad") for step in (0, 24))
    assert first.driven.shape == last.driven.shape == (1, 16, 32)
    assert not np.array_equal(first.driven, last.driven)
    assert first.stored.min() == 0.0  # activations after a ReLU
    assert not first.stored_signed


def test_the_signal_is_that_of_the_whole_product():
    rng = np.random.default_rng(2)
    site = dot_site(30, 9, 12, hardware())
    x, w = map(jnp.asarray, integer_operands(rng, (30, 9), (9, 12)))
    met = record.Operands(x, w, jnp.asarray(levels(rng, (30, 12))) / 4)
    for mvm in ("input_grad", "weight_grad"):
        found = record.sample_mvm(site, mvm, met, None, 0)
        assert (found.driven_scale, found.stored_scale) == (0.25, 1.0)
        product = np.einsum("gmk,gnk->gmn", found.driven, found.stored)
        assert found.signal == pytest.approx(np.mean(np.square(product, dtype=np.float64)), rel=1e-5)


AWARE = {"noise_aware": True, "gradient_scale": "carried"}


@pytest.mark.slow
@pytest.mark.parametrize("mvm", ["input_grad", "weight_grad"])
@pytest.mark.parametrize(
    "formats",
    [
        AWARE | {"weight_clip": "sawb", "activation_clip": "rms"},
        AWARE | {"weight_clip": "least_error", "activation_clip": "least_error"},
        {"activation_clip": "pact", "activation_clip_scale": 0.5},
    ],
    ids=["noise-aware tables", "noise-aware least error", "learned"],
)
def test_a_recording_stores_the_codes_that_a_run_stores(formats, mvm, monkeypatch):
    """Learned clips, a range in use and a carried scale included: what leaves the forward pass is what is sampled."""
    monkeypatch.setattr(sampling, "MOST", 10**6)
    rng = np.random.default_rng(5)
    spec = hardware(
        noise=NoiseSpec(sigma_array_lsb=0.7),
        formats=FormatSpec(gradient_rounding="nearest", **formats),
        adc=AdcSpec(range_policy="per_site"),
    )
    site = dot_site(24, 96, 12, spec, lhs=UNSIGNED)
    x, w = np.maximum(rng.standard_normal((24, 96)), 0), rng.standard_normal((96, 12))
    x, w, g = (jnp.asarray(a, jnp.float32) for a in (x, w, rng.standard_normal((24, 12))))
    fresh = site.init_state()
    state = dataclasses.replace(
        fresh,
        clips=jnp.asarray([1.3, 0.0]),
        gradient_scale=jnp.float32(0.01),
        needed_range=dict(fresh.needed_range) | {"forward": jnp.full(1, 0.1)},
    )
    _, kept = run_forward(SiteMvms(site.spec), x, w, state, SEED)
    side = 1 if mvm == "input_grad" else 0
    found = record.sample_mvm(site, mvm, record.Operands(x, w, g), state, 0, budget=10**9)
    assert found.stored_scale == float(kept.scales[side])
    levels, codes = encode(found, frozen_imc(formats={"gradient_rounding": "nearest"} | formats))
    stored = np.asarray(kept.codes[side], np.float32)
    np.testing.assert_array_equal(np.sort(codes, axis=None), np.sort(stored, axis=None))
    expected = encode_gradient(g, jnp.float32(found.driven_scale), spec.formats, SEED, odd=False).mean
    np.testing.assert_array_equal(np.sort(levels, axis=None), np.sort(expected, axis=None))
    if formats.get("gradient_scale") == "carried":
        assert found.driven_scale == np.float32(0.01)


def test_a_recording_comes_back_from_its_file(recorded, tmp_path):
    found = load_recording(recorded)
    save_recording(found, tmp_path / "again.npz")
    again = load_recording(tmp_path / "again.npz")
    assert again.about == found.about
    for a, b in zip(found.records, again.records, strict=True):
        for field in dataclasses.fields(a):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_float_runs_are_recorded_too(finished, tmp_path, monkeypatch):
    assert call(monkeypatch, "record", "--run", finished / "baseline", "--out", tmp_path / "f.npz", "--step", "24") == 0
    assert load_recording(tmp_path / "f.npz").about["path"] == "float"


def test_first_middle_and_last_are_the_default(tmp_path):
    assert record._choose(tmp_path, [10, 20, 40, 70, 80], ()) == [10, 40, 80]
    assert record._choose(tmp_path, [10, 20], ()) == [10, 20]
    assert record._choose(tmp_path, [10, 20], (20, 0, 20)) == [0, 20]


def test_bad_input_is_one_line(finished, tmp_path, monkeypatch, capsys):
    def said(*arguments):
        assert call(monkeypatch, "record", *arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0]

    assert "holds no run (no config.toml)" in said("--run", tmp_path)
    (tmp_path / "config.toml").write_text(TINY)
    assert "has no checkpoints: train it first" in said("--run", tmp_path)
    line = said("--run", finished, "--step", "5", "--out", tmp_path / "a.npz")
    assert "has no checkpoint of step 5: --step takes 0, " in line
    with pytest.raises(UserError, match=r"one checkpoint only \(step 24\).* checkpoint.keep = 100"):
        record._choose(tmp_path, [24], ())
    with pytest.raises(UserError, match=r"no checkpoint yet: give --step 0"):
        record._choose(tmp_path, [], ())
    with pytest.raises(UserError, match="is no recording"):
        load_recording(write(tmp_path))
    with pytest.raises(UserError, match="cannot be read"):
        load_recording(tmp_path / "missing.npz")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        save_recording(record.Recording({"steps": []}, ()), tmp_path / "file" / "a.npz")
