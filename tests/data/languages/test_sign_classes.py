# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tones and rhymes of signs, and poems against their forms."""

import sys

import pytest

from pyro_textvae.data.languages.sign_classes import SignClasses, mandarin_classes, rhyme_of
from pyro_textvae.data.languages.verse_form import RHYMES, Form
from pyro_textvae.data.worlds import VerseWorld
from pyro_textvae.errors import UserError

POEM = ["床前明月光", "疑是地上霜", "举头望明月", "低头思故乡"]


def test_pypinyin_says_of_each_sign_of_the_world_what_the_world_says():
    pytest.importorskip("pypinyin")
    world = VerseWorld()
    told = mandarin_classes(world.signs)
    assert told.tones == world.sign_classes.tones
    of_world = {s: r for s, r in told.rhymes.items() if told.tones[s] == "平" and r in world.rhymes}
    assert of_world == world.rhyme_of


def test_the_form_of_a_poem_is_read_off_it_by_the_usual_readings():
    pytest.importorskip("pypinyin")
    classes = mandarin_classes("".join(POEM) + "詩女雲兒圓學風東看了麼x，")
    form = classes.form_of(POEM)
    assert form.source == "ang 平平平仄平 平仄仄仄平 仄平仄平仄 平平平仄平"
    assert classes.faults(POEM, form) == []
    rhymes = [classes.rhymes[sign] for sign in "詩女雲兒圓學風東"]
    assert rhymes == ["zhi", "ü", "en", "er", "an", "ie", "eng", "ong"]
    assert (classes.tones["了"], classes.rhymes["了"]) == ("仄", "ao")
    assert classes.tones["麼"] == "平"
    assert not {"x", "，"} & classes.tones.keys()


def test_syllables_have_one_of_eighteen_rhymes():
    finals = "a ia ua o uo e ie üe zhi i ei ui ai uai u ü ou iu ao iao an ian uan üan en in un ün"
    finals += " ang iang uang eng ing ong iong er"
    assert {rhyme_of("g", final) for final in finals.split()} == {*RHYMES}
    assert {rhyme_of(initial, "i") for initial in ("zh", "s", "r")} == {"zhi"}
    assert {rhyme_of(initial, "i") for initial in ("l", "")} == {"i"}
    assert rhyme_of("", "") is None


CLASSES = SignClasses(
    dict(zip("月雪光霜山", "仄仄平平平", strict=True)),
    {"光": "ang", "霜": "ang", "山": "an", "月": "ang"},
)


@pytest.mark.parametrize(
    ("lines", "source"),
    [
        (["月光", "雪霜"], "ang 仄平 仄平"),
        (["月光", "雪山"], "- 仄平 仄平"),
        (["月光", "霜月"], "- 仄平 平仄"),
        (["月光", "雪山", "雪霜", "雪雪"], "ang 仄韵 仄平 仄韵 仄仄"),
        (["月光", "雪山", "月山", "月霜"], "ang 仄韵 仄平 仄平 仄韵"),
        (["月雪"], "- 仄仄"),
    ],
)
def test_a_poem_rhymes_where_most_lines_that_end_in_a_level_tone_do(lines, source):
    assert CLASSES.form_of(lines).source == source
    assert CLASSES.faults(lines, Form.checked(source)) == []


def test_a_sign_without_a_known_tone_is_named():
    with pytest.raises(UserError, match="line 2: no tone of '□' is known"):
        CLASSES.form_of(["月光", "□光"])


@pytest.mark.parametrize(
    ("lines", "fault", "accuracy"),
    [
        (["月光", "雪霜"], None, (True, 1.0, 1.0, True)),
        (
            ["月光", "雪山"],
            "line 2: '山' at place 2 rhymes in an, not in ang",
            (True, 1.0, 0.5, False),
        ),
        (["光光", "雪霜"], "line 1: '光' at place 1 is 平, not 仄", (True, 0.75, 1.0, False)),
        # An oblique sign that would rhyme does not.
        (["月光", "雪月"], "line 2: '月' at place 2 is 仄, not 平", (True, 0.75, 0.5, False)),
        (["月光", "霜"], "line 2 has 1 signs, not 2", (False, 0.5, 1.0, False)),
        (["月光"], "1 lines, not 2", (False, 0.5, 0.5, False)),
        (["x光", "雪霜"], "line 1: 'x' at place 1 has no known tone", (True, 0.75, 1.0, False)),
    ],
)
def test_faults_are_named_and_counted(lines, fault, accuracy):
    form = Form("ang", ("仄平", "仄平"))
    assert CLASSES.faults(lines, form) == ([fault] if fault else [])
    told = CLASSES.accuracy(lines, form)
    assert (told.metre, told.tones, told.rhymes, told.is_met) == accuracy


def test_a_line_that_is_marked_rhymes_and_others_that_end_in_a_level_tone_need_not():
    form = Form.checked("ang 仄韵 仄平 仄韵")
    assert form.rhymed == (True, False, True)
    assert CLASSES.faults(["月光", "雪山", "雪霜"], form) == []
    assert CLASSES.faults(["月光", "雪山", "雪山"], form) == [
        "line 3: '山' at place 2 rhymes in an, not in ang"
    ]
    assert CLASSES.accuracy(["月光", "雪山", "雪山"], form).rhymes == 0.5
    with pytest.raises(UserError, match="line 1 of the form ends in 韵, and the form has no rhyme"):
        Form.checked("- 仄韵")
    with pytest.raises(UserError, match="line 2 of the form is '韵平'"):
        Form.checked("ang 仄韵 韵平")


def test_a_form_without_a_rhyme_has_no_share_of_rhymes():
    assert CLASSES.accuracy(["月光"], Form.checked("- 仄平")).rhymes is None


def test_without_pypinyin_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    with pytest.raises(UserError, match=r"not installed: pip install 'pyro-textvae\[verse\]'"):
        mandarin_classes("光")
