"""One declaration of every setting: schema, table in the docs, hardware, rules and frozen table have the same keys."""

from pathlib import Path

import pytest

import imctrain
from imctrain.errors import UserError
from imctrain.frozen_defaults import FROZEN
from imctrain.intercept.rules import known_keys as rule_keys
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, Config, Hardware, known_keys
from imctrain.settings.base import Section
from imctrain.settings.site import SiteSettings
from imctrain.settings.table import allowed, page

DOCS = Path(imctrain.__file__).parents[1] / "docs"


def schema_keys(node, defs, prefix=""):
    for name, inner in node["properties"].items():
        found = [inner, inner.get("items", {}), *inner.get("anyOf", ())]
        reference = next((part["$ref"] for part in found if "$ref" in part), None)
        if reference is None:
            yield prefix + name
        else:
            yield from schema_keys(defs[reference.rpartition("/")[2]], defs, f"{prefix}{name}.")


def test_the_page_is_made_from_the_code():
    assert (DOCS / "settings.md").read_text() == page(), "run python -m imctrain.settings.table > docs/settings.md"


def test_schema_table_and_frozen_defaults_have_the_same_keys():
    schema = Config.model_json_schema()
    keys = known_keys()
    assert sorted(schema_keys(schema, schema["$defs"])) == sorted(keys) == sorted(FROZEN)
    text = page()
    for key in keys:
        section, _, name = key.rpartition(".")
        heading = f"\n## `[[{section}]]`" if section == "imc.rules" else f"\n## `[{section}]`"
        table = text if not section else text.split(heading)[1].split("\n## ")[0]
        assert f"| {name} | " in table, key


def test_rules_take_the_keys_of_a_site_and_no_others():
    of_site = {key.removeprefix("imc.") for key in known_keys() if key.startswith("imc.")}
    # What all sites share: they are on one die at one condition.
    of_site = {key for key in of_site if not key.startswith(("rules.", "chip.", "conditions."))}
    of_site -= {"calibration", "preset"}
    assert set(rule_keys()) == of_site == {*SiteSettings.dotted_keys(), "path"}
    others = {key for key in Hardware.dotted_keys() if not key.startswith("chip.")} - of_site
    assert others == {"count_codes"}, "what a hardware has beside a site's settings is told of the whole function"


def every_section(section: type[Section] = Config):
    yield section
    for inner in section.sections().values():
        yield from every_section(inner)


@pytest.mark.parametrize("section", [*every_section(), Hardware, ChipSpec], ids=lambda section: section.__name__)
def test_every_setting_says_what_it_means(section):
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name} has no string below it"
        assert field.description.endswith("."), name


def test_what_a_key_takes_is_told_in_words():
    found = Config.model_json_schema()["$defs"]
    adc, training = found["AdcSpec"]["properties"], found["TrainingConfig"]["properties"]
    assert allowed(adc["range"]) == "1.526e-05 to 1"
    assert allowed(adc["bits"]) == "whole, 2 to 24"
    assert allowed(adc["range_policy"]) == "fixed, two_level, per_site"
    assert allowed(training["momentum"]) == "0 to below 1"
    assert allowed(found["ImcConfig"]["properties"]["mvms"]) == "list of forward, input_grad, weight_grad"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: AdcSpec(bitz=3),
            "adc.bitz is an unknown key; the nearest is adc.bits; allowed in [adc]: bits, ",
        ),
        (lambda: AdcSpec(bits=True), "adc.bits = True is not possible: it should be a valid integer"),
        (lambda: ArraySpec(rows=8).replace(rows=0), "array.rows = 0 is not possible: allowed is 1 to 65536"),
        (
            lambda: ArraySpec(rows=8, segment_rows=9),
            "array.segment_rows = 9 is not possible: allowed is 1 to array",
        ),
        (lambda: Hardware(adc={"bits": 99}), "adc.bits = 99 is not possible: allowed is 2 to 24"),
        (
            lambda: Hardware(path="analog"),
            "path = 'analog' is not possible: allowed is 'digital', 'exact', 'statis",
        ),
    ],
)
def test_a_section_made_in_python_is_told_in_one_line(make, says):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_sections_are_values():
    assert hash(Hardware()) == hash(Hardware(adc=AdcSpec(range=1)))
    assert Hardware() == Hardware(adc=AdcSpec(range=1.0))
    assert Hardware() != Hardware(adc=AdcSpec(range=0.5))
    with pytest.raises(Exception, match="frozen"):
        Hardware().chip_seed = 3
