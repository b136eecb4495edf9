"""The figure of a search."""

from __future__ import annotations

import pytest

from imctrain.report.search_figure import draw_search


def line(name, accuracy, joules, test=None, **values):
    interval = None if test is None else [test - 0.02, test + 0.02]
    known = {"imc.adc." + key: value for key, value in values.items()}
    return {
        "name": name, "values": known, "validation": accuracy, "test": test, "training_j": joules,
        "test_interval": interval,
    }  # fmt: skip


def answer(**other):
    tried = [line("tried", 0.5 + 0.05 * i, 0.01 * 2**i, bits=4 + i) for i in range(5)]
    found = [line("found", 0.7, 0.16, test=0.69, bits=8)]
    by_hand = [line("recipe", 0.68, 0.3, test=0.66, bits=8), line("float", 0.72, 2.0, test=0.7)]
    return {"question": "q: least energy", "tried": tried, "found": found, "by_hand": by_hand} | other


def drawn(tmp_path, content):
    target = tmp_path / "search.svg"
    draw_search(content, target)
    again = tmp_path / "again.svg"
    draw_search(content, again)
    assert target.read_bytes() == again.read_bytes()
    return target.read_text()


def test_what_was_chosen_is_named_with_its_settings(tmp_path):
    text = drawn(tmp_path, answer())
    assert "1  bits 8: 160 mJ, held-out 70.00 %, test 69.00 %" in text
    assert "2  recipe: bits 8: 300 mJ, held-out 68.00 %, test 66.00 %" in text
    assert "3  float: 2 J" in text
    assert "not drawn" not in text


@pytest.mark.parametrize("other", [{"found": []}, {"tried": []}, {"found": [], "tried": [], "by_hand": []}])
def test_a_search_that_found_nothing_is_drawn(tmp_path, other):
    assert "least energy" in drawn(tmp_path, answer(**other))


def test_what_has_no_energy_is_told(tmp_path):
    found = answer(tried=[line("tried", None, 0.1), line("tried", 0.5, None), line("tried", 0.6, 0.1)])
    assert "2 without a known energy or accuracy are not drawn" in drawn(tmp_path, found)
