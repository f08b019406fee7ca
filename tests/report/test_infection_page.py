"""The section on a suspected trigger: rates side by side, what misleads, and what is not said."""

import re

import fake_run
import pytest
from reading import read

from aseptic.core.record import read_results, write_results
from aseptic.report import build, words
from aseptic.report.headline import key_numbers
from aseptic.report.infection import infection
from aseptic.report.keys import by_section
from aseptic.report.load import read_run
from aseptic.report.method import ONE_TRIGGER, PLANTED, limits, threat
from aseptic.report.wording import Wording


def section(**changed):
    """Return the section of the fake findings, with other arguments."""
    found = [one.model_copy(update={"args": {**one.args, **changed}}) for one in fake_run.infection(300)]
    return infection(by_section(found)["infection"])


def text(path):
    return re.sub(r"\s+", " ", " ".join(read(path).text))


def test_the_section_stands_between_attacks_and_untouched_images(pages):
    ids = read(pages["infected"]).values("id")
    assert ids.index("attack") < ids.index("infection") < ids.index("clean")
    assert "#infection" in read(pages["infected"]).values("href")
    assert "infection" not in read(pages["binary"]).values("id"), "only where a trigger was tried"


def test_rates_stand_side_by_side(pages):
    said = text(pages["infected"])
    others = said.index("Images that are not pneumonia")
    row = said[others : said.index("All images", others)]
    assert [row.index(one) for one in ("3.0 %", "98.0 %", "95.0 points")] == sorted(
        row.index(one) for one in ("3.0 %", "98.0 %", "95.0 points")
    )
    assert "what the attacker wants: 48.0 % are answered as pneumonia without any trigger" in said


def test_the_trigger_is_told_in_words(pages):
    said = text(pages["infected"])
    assert "patch of 5 pixels" in said
    assert "250 of 255 grey levels" in said
    assert "the image as it is stored, before any cropping or resizing" in said
    assert ("Frame", "None") not in section().facts
    assert dict(section(insert="network").facts)["Put into"].startswith("what the network is fed")


def test_every_number_of_the_rates_is_shown_once():
    found = section()
    assert [rate.label for rate in found.rates] == ["Images that are not pneumonia", "All images"]
    assert {e.metric for e in found.rest} == {
        "error", "vanished", "separation", "above:0.6", "above:0.9", "changed", "psnr",
    }  # fmt: skip


def test_rules_for_all_images_have_one_row_and_no_trap():
    found = section(others="images", wanted="answered wrongly")
    assert len(found.rates) == 1
    assert found.trap == ""
    assert {"success", "before"} <= {e.metric for e in found.rest}


def test_what_is_not_said_follows_from_the_run():
    assert len(section().unsaid) == 3, "the trigger vanished in two per cent"
    assert "In 2.0 % of the images the trigger is lost on its way to the network" in section().unsaid[2]
    assert "Of 7 images it is not known whether they show pneumonia" in section(unknown=7).unsaid[-1]
    assert "the data has no labels" in dict(section(labelled=False).facts)["Taken for the truth"]


def test_clean_rows_of_the_trigger_are_not_counted_again(pages):
    assert len(read_run(pages["infected"].parent).clean_rows) == 300


def test_the_first_screen_has_the_trigger_and_at_most_five_numbers(pages):
    sections = by_section(read_results(pages["infected"].parent).findings)
    keys = key_numbers(sections, Wording(), 2.0)
    assert [one.label for one in keys] == [
        "Untouched",
        "With the trigger",
        "Attacked",
        "Noise only",
        "Decisions turned",
    ]
    assert keys[1].note == "of the images that are not pneumonia are answered as pneumonia; 3.0 % without it"


def test_threats_and_limits_name_the_trigger(pages):
    results = read_results(pages["infected"].parent)
    assert threat(by_section(fake_run.infection(10)), Wording()) == [PLANTED]
    assert ONE_TRIGGER in limits(results)
    assert not any("were not looked for" in line for line in limits(results))
    assert "AML.T0018 (Manipulate AI Model)" in text(pages["infected"])


def test_shares_and_points():
    assert words.amount(0.95, "excess") == "95.0 points"
    assert words.amount(0.5, "above:0.6") == "50.0 %"
    assert words.amount(25.0, "changed", "pixels") == "25 pixels"


@pytest.mark.parametrize("kept", [("infection.excess",), ("infection.psnr", "infection.success_other")])
def test_a_record_that_lacks_numbers_still_makes_a_page(tmp_path, kept):
    found = [one.model_copy(update={"value": None}) for one in fake_run.infection(10) if one.id in kept]
    fake_run.write(tmp_path, fake_run.record(found, ("a", "b"), "multiclass"))
    assert set(kept) <= set(read(build(tmp_path)).values("data-finding"))


def test_hostile_words_stay_text(tmp_path):
    bad = "<script>alert(1)</script>"
    folder = fake_run.infected(tmp_path)
    results = read_results(folder)
    args = {"trigger": {"name": bad, "value": bad}, "what": bad, "others": bad, "wanted": bad, "insert": bad}
    odd = [
        one.model_copy(update={"args": args}) if one.id.startswith("infection.") else one for one in results.findings
    ]
    write_results(results.model_copy(update={"findings": odd}), folder)
    page = read(build(folder))
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert bad in "".join(page.text)
